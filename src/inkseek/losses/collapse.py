"""Embeddings that have collapsed, and losses that have stopped teaching: seen early, and said once with advice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from inkseek.losses.margin import MarginTerm
from inkseek.losses.objective import Objective
from inkseek.losses.term import Term

PATIENCE = 3


class CollapseDetector:
    """Reads the figures of logging steps and says each kind of trouble once, after it has lasted a few of them.

    collapsed: the mean cosine over all pairs of a batch is above 0.99. stuck: every tuple is active and the loss is
    within 1 % of its margin, which is what an embedding without distances costs. idle: fewer than one tuple in a
    thousand is active, so that hardly anything is learned any more.

    Args:
        objective: what is trained: an objective, or one term.

    Example:
        detector = CollapseDetector(objective)
        for advice in detector.look({name: float(value) for name, value in diagnose(objective, batch).items()}):
            print(advice)
    """

    def __init__(self, objective: Term) -> None:
        parts = objective.parts.values() if isinstance(objective, Objective) else (objective,)
        self._margins = {
            part.name: part.margin for part in parts if isinstance(part, MarginTerm) and isinstance(part.margin, float)
        }
        self._lasted: Counter[str] = Counter()
        self._said: set[str] = set()

    def look(self, figures: Mapping[str, float]) -> list[str]:
        """Advice on what has now lasted `PATIENCE` looks, each of it once.

        Args:
            figures: what `diagnose` gives, as numbers, and each term's value under its name (`Objective.terms`).
        """
        troubles = self._troubles(figures)
        for kind in [kind for kind in self._lasted if kind not in troubles]:
            del self._lasted[kind]
        self._lasted.update(troubles.keys())
        new = [kind for kind in troubles if self._lasted[kind] >= PATIENCE and kind not in self._said]
        self._said.update(new)
        return [troubles[kind] for kind in new]

    def _troubles(self, figures: Mapping[str, float]) -> dict[str, str]:
        troubles: dict[str, str] = {}
        if (cosine := figures.get("cosine", 0.0)) > 0.99:
            troubles["collapsed"] = (
                f"the embedding has collapsed (mean cosine of the batch {cosine:.4f}): lower the learning rate or the "
                "margin, or start with easier negatives (semi-hard, or all triplets)"
            )
        for key, active in figures.items():
            name, dot, figure = key.rpartition(".")
            if not dot or figure != "active":
                continue
            margin, value = self._margins.get(name), figures.get(name)
            if margin is not None and value is not None and active > 0.999 and abs(value - margin) < 0.01 * abs(margin):
                troubles[f"stuck {name}"] = (
                    f"{name} is stuck at its margin ({value:.4f} of {margin:g}) with every tuple active: positives are "
                    "as far as negatives; lower the learning rate or the margin, and check the labels"
                )
            elif active < 0.001:
                troubles[f"idle {name}"] = (
                    f"{name} has hardly an active tuple left ({active:.2%}): raise the margin, mine harder negatives, "
                    "enlarge the batch, or stop here"
                )
        return troubles
