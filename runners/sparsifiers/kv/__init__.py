"""Methods that evict entries of the KV cache, one file each."""

from tolerance.runners.sparsifiers.kv.base import Eviction, Inside, Seen
from tolerance.runners.sparsifiers.kv.expected_attention import ExpectedAttention
from tolerance.runners.sparsifiers.kv.key_norm import KeyNorm
from tolerance.runners.sparsifiers.kv.keydiff import KeyDiff
from tolerance.runners.sparsifiers.kv.kvpress import KVPress
from tolerance.runners.sparsifiers.kv.random import RandomEviction
from tolerance.runners.sparsifiers.kv.snapkv import SnapKV
from tolerance.runners.sparsifiers.kv.streaming import StreamingEviction
from tolerance.runners.sparsifiers.kv.tova import TOVA

EVICTIONS: tuple[type[Eviction], ...] = (
    *(StreamingEviction, SnapKV, KeyNorm, TOVA, KeyDiff, ExpectedAttention, RandomEviction),
)

__all__ = ["EVICTIONS", "Eviction", "Inside", "KVPress", "Seen"]
