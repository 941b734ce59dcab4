"""What is minimised: terms over one batch of embeddings, joined by `+` and `*` into an objective; needs torch alone.

>>> from inkseek.losses import RDVC, SEC, Triplet
>>> Triplet(margin=1.0) + 0.5 * RDVC() + 1.0 * SEC()  # RDVC paper, Eq. 10
Triplet(margin=1.0, distance='sqeuclidean') + 0.5 * RDVC(distance='sqeuclidean') + SEC(rho=1.0)
"""

from inkseek.losses.catalogue import Description, build, build_objective, describe
from inkseek.losses.diagnostics import diagnose
from inkseek.losses.objective import Objective
from inkseek.losses.rdvc import RDVC
from inkseek.losses.sec import SEC
from inkseek.losses.term import RelationTerm, Term
from inkseek.losses.triplet import Triplet
from inkseek.relations import Batch, Relations

__all__ = [
    "RDVC",
    "SEC",
    "Batch",
    "Description",
    "Objective",
    "RelationTerm",
    "Relations",
    "Term",
    "Triplet",
    "build",
    "build_objective",
    "describe",
    "diagnose",
]
