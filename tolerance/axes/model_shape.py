"""What the closed forms of cost need of a model."""

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tolerance.data.yaml_file import read_yaml
from tolerance.errors import SchemaError

# Far beyond any model; what lies above is a slip, and the closed forms would overflow.
MOST = 10**15


class ModelShape(BaseModel):
    """What the closed forms need of a model; the names are those of a transformers ``config.json``.

    linear_weights: weights of the linear layers that one token meets, output head not counted; ``params_active`` of the
    outcomes stands for it where it is not given. bytes_per_element: of the KV cache, 2 for 16 bit.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")
    num_hidden_layers: int = Field(ge=1, le=MOST)
    num_attention_heads: int = Field(ge=1, le=MOST)
    num_key_value_heads: int | None = Field(default=None, ge=1, le=MOST)
    head_dim: int | None = Field(default=None, ge=1, le=MOST)
    hidden_size: int = Field(ge=1, le=MOST)
    vocab_size: int | None = Field(default=None, ge=1, le=MOST)
    tie_word_embeddings: bool = True
    linear_weights: int | None = Field(default=None, ge=1, le=MOST)
    bytes_per_element: float = Field(default=2.0, gt=0, le=16)

    @property
    def width(self) -> int:
        """Width of one head."""
        return self.head_dim or self.hidden_size // self.num_attention_heads

    @property
    def pair(self) -> float:
        """FLOPs of one kept query-key pair, in all layers and heads."""
        return 4.0 * self.num_hidden_layers * self.num_attention_heads * self.width

    @property
    def token_bytes(self) -> float:
        """Bytes of KV cache that one token takes."""
        heads = self.num_key_value_heads or self.num_attention_heads
        return 2.0 * self.num_hidden_layers * heads * self.width * self.bytes_per_element


Shapes = Mapping[str, ModelShape]


def read_shapes(path: str | os.PathLike[str]) -> dict[str, ModelShape]:
    """Shapes of models from YAML or JSON: name of the model -> fields, or the path of its ``config.json``.

    Raises:
        SchemaError: naming file, model and field.
    """
    path = Path(path)
    named = read_yaml(path, expected="YAML of model: config.json")
    if not isinstance(named, dict):
        raise SchemaError(f"{path}: no YAML or JSON of model: shape. Give each model's name and its config.")
    shapes = {}
    for name, fields in named.items():
        given = (
            read_yaml(path.parent / fields, expected=f"the config.json of {name}")
            if isinstance(fields, str)
            else fields
        )
        try:
            shapes[str(name)] = ModelShape.model_validate(given)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "shape"
            raise SchemaError(f"{path}: {name}: {where}: {first['msg']}. Give it as in config.json.") from error
    return shapes
