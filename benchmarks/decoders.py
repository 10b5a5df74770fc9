"""Speed and correctness of the decoders: every plugin installed, on a clip written in each transfer syntax.

    python benchmarks/decoders.py --input data/phantom/p001_c1.dcm

The clip (uncompressed) is re-encoded and decoded frame by frame, as step 1 does it, by each plugin in turn;
one thread, CPU time, median and quartiles over the frames. The pixels are checked against the ones that were
encoded (lossless syntaxes) or against the other plugin's (JPEG).
"""

import argparse
import io
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder, iter_pixels
from pydicom.uid import UID, JPEG2000Lossless, JPEGBaseline8Bit, JPEGLosslessSV1, JPEGLSLossless, RLELossless
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.speed import quartiles
from stenoscope.imaging.dicom import PLUGINS

SYNTAXES = {
    RLELossless: "RLE",
    JPEGBaseline8Bit: "JPEG baseline",
    JPEGLSLossless: "JPEG-LS lossless",
    JPEGLosslessSV1: "JPEG lossless",
    JPEG2000Lossless: "JPEG 2000 lossless",
}


def write(path: Path, syntax: UID, target: Path) -> None:
    """Write the uncompressed clip `path` in another transfer syntax."""
    dataset = dcmread(path)
    if syntax in (RLELossless, JPEGLSLossless, JPEG2000Lossless):
        dataset.compress(syntax, generate_instance_uid=False)
    elif syntax == JPEGBaseline8Bit:
        frames = []
        for frame in dataset.pixel_array:
            stream = io.BytesIO()
            Image.fromarray(frame).save(stream, format="JPEG", quality=90)
            frames.append(stream.getvalue())
        dataset.PixelData = encapsulate(frames)
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = syntax
    else:
        import gdcm

        reader = gdcm.ImageReader()
        reader.SetFileName(str(path))
        reader.Read()
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
        change.SetInput(reader.GetImage())
        change.Change()
        writer = gdcm.ImageWriter()
        writer.SetFileName(str(target))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        if not writer.Write():
            raise RuntimeError(f"GDCM could not write {target}")
        return
    dataset.save_as(target)


def decode(dataset: Dataset, plugin: str) -> tuple[np.ndarray, np.ndarray]:
    """The frames, and the CPU milliseconds of each."""
    frames, times = [], []
    begin = time.process_time()
    for frame in iter_pixels(dataset, raw=True, decoding_plugin=plugin):
        times.append(1000 * (time.process_time() - begin))
        frames.append(frame)
        begin = time.process_time()
    return np.array(frames), np.array(times)


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--input", type=Path, required=True, help="uncompressed 8-bit DICOM clip")
    path = parser.parse_args().input
    source = dcmread(path).pixel_array
    table = Table(
        title=f"{len(source)} frames of {source.shape[1]} x {source.shape[2]}", title_justify="left"
    )
    for name in ("transfer syntax", "plugin", "CPU ms a frame", "bytes a pixel", "pixels"):
        table.add_column(name, justify="right" if name[0] in "Cb" else "left", no_wrap=True)
    with tempfile.TemporaryDirectory() as folder:
        for syntax, shown in SYNTAXES.items():
            target = Path(folder) / "clip.dcm"
            write(path, syntax, target)
            dataset = dcmread(target)
            plugins = get_decoder(syntax).available_plugins
            used = next(name for name in PLUGINS[syntax] if name in plugins)
            decoded = {}
            for plugin in sorted(plugins, key=lambda name: name != used):
                frames, times = decode(dataset, plugin)
                decoded[plugin] = frames
                truth = decoded[used] if syntax == JPEGBaseline8Bit else source
                worst = int(np.abs(frames.astype(int) - truth).max())
                table.add_row(
                    shown if plugin == used else "",
                    f"{plugin} (used)" if plugin == used else plugin,
                    quartiles(times[1:]),
                    f"{target.stat().st_size / source.size:.2f}" if plugin == used else "",
                    "exact" if worst == 0 else f"differ by up to {worst}",
                )
            table.add_section()
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
