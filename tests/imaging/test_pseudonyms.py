import pickle
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from stenoscope.errors import DatasetError
from stenoscope.imaging.pseudonyms import Pseudonymizer


def test_same_key_same_pseudonym(tmp_path):
    first = Pseudonymizer(tmp_path / "deep" / "key")
    again = Pseudonymizer(tmp_path / "deep" / "key")
    assert first("12345") == again("12345") == first(" 12345 ")
    assert first("12345") != first("12346")
    assert Pseudonymizer(tmp_path / "other")("12345") != first("12345")


def test_pseudonym_hides_the_id(tmp_path):
    pseudonym = Pseudonymizer(tmp_path / "key")("12345")
    assert "12345" not in pseudonym and len(pseudonym) == 14 and pseudonym.startswith("p-")


def test_key_file_is_private_and_alone(tmp_path):
    Pseudonymizer(tmp_path / "key")
    assert [path.name for path in tmp_path.iterdir()] == ["key"]
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_pickle_carries_no_key(tmp_path):
    pseudonymizer = Pseudonymizer(tmp_path / "key")
    data = pickle.dumps(pseudonymizer)
    assert bytes.fromhex((tmp_path / "key").read_text()) not in data
    assert (tmp_path / "key").read_text().strip().encode() not in data
    assert pickle.loads(data)("12345") == pseudonymizer("12345")


def test_another_key_on_another_machine_is_refused(tmp_path):
    data = pickle.dumps(Pseudonymizer(tmp_path / "key"))
    (tmp_path / "key").unlink()
    with pytest.raises(DatasetError, match="can't be read"):
        pickle.loads(data)
    Pseudonymizer(tmp_path / "key")
    with pytest.raises(DatasetError, match="another key"):
        pickle.loads(data)


@pytest.mark.parametrize("content", ["", "abcd", "not hexadecimal", "é"])
def test_damaged_key_is_named_not_replaced(tmp_path, content):
    (tmp_path / "key").write_text(content, encoding="utf-8")
    with pytest.raises(DatasetError, match="key"):
        Pseudonymizer(tmp_path / "key")
    assert (tmp_path / "key").read_text(encoding="utf-8") == content


def test_workers_that_start_together_agree(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: Pseudonymizer(tmp_path / "key")("12345"), range(32)))
    assert len(set(found)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_the_key_is_too_long_to_be_guessed(tmp_path):
    """32 bytes, as the digest has: a short key could be tried out on known patient ids."""
    Pseudonymizer(tmp_path / "key")("P1")
    assert len(bytes.fromhex((tmp_path / "key").read_text())) == 32
