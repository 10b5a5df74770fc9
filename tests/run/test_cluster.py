from stenoscope.run import cluster


def test_the_code_of_every_room_tells_workers_apart(tmp_path, monkeypatch):
    package = tmp_path / "stenoscope"
    (package / "run").mkdir(parents=True)
    (package / "training").mkdir()
    monkeypatch.setattr(cluster, "__file__", str(package / "run" / "cluster.py"))
    codes = set()
    for text in ("a = 1\n", "a = 2\n"):
        (package / "training" / "fold.py").write_text(text)
        codes.add(cluster.about_this_process.__wrapped__()["code"])
    assert len(codes) == 2
