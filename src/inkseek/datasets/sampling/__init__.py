"""Which pictures meet in a batch: PK across domains or in one, fine-grained pairs, or at random."""

from inkseek.datasets.sampling.batches import Batches, Draw
from inkseek.datasets.sampling.pairs import PairBatches
from inkseek.datasets.sampling.pk import PKBatches
from inkseek.datasets.sampling.random import RandomBatches

__all__ = ["Batches", "Draw", "PKBatches", "PairBatches", "RandomBatches"]
