"""What the tests of training share."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from inkseek.training.plan import Plan
from inkseek.training.reporting import Reporter


class _Silent:
    def started(self, plan: Plan, step: int) -> None: ...
    def stepped(self, step: int, figures: Mapping[str, float]) -> None: ...
    def validated(self, step: int, metric: str, value: float, best: bool) -> None: ...
    def warned(self, step: int, advice: str) -> None: ...


@pytest.fixture(scope="session")
def silent() -> Reporter:
    """Watches a run and says nothing."""
    return _Silent()
