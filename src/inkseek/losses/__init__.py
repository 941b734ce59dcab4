"""What is minimised: terms over one batch of embeddings, joined by `+` and `*` into an objective; needs torch alone.

>>> from inkseek.losses import RDVC, SEC, Triplet
>>> Triplet(margin=1.0) + 0.5 * RDVC() + 1.0 * SEC()  # RDVC paper, Eq. 10
Triplet(margin=1.0, distance='sqeuclidean') + 0.5 * RDVC(distance='sqeuclidean') + SEC(rho=1.0)
"""

from inkseek.losses.adapters import Adapted
from inkseek.losses.binomial_deviance import BinomialDeviance
from inkseek.losses.calibration import Ratio
from inkseek.losses.catalogue import Description, build, build_objective, describe
from inkseek.losses.classification import Classification
from inkseek.losses.collapse import CollapseDetector
from inkseek.losses.contrastive import Contrastive
from inkseek.losses.diagnostics import diagnose
from inkseek.losses.gather import gather
from inkseek.losses.l2 import L2
from inkseek.losses.lifted_structure import LiftedStructure
from inkseek.losses.modality_aware_triplet import ModalityAwareTriplet
from inkseek.losses.multi_similarity import MultiSimilarity
from inkseek.losses.n_pair import NPair
from inkseek.losses.objective import Objective
from inkseek.losses.quadruplet import Quadruplet
from inkseek.losses.rdvc import RDVC
from inkseek.losses.relative_distance_divergence import RelativeDistanceDivergence
from inkseek.losses.sec import SEC
from inkseek.losses.semi_hard import SemiHardTriplet
from inkseek.losses.term import RelationTerm, Term
from inkseek.losses.triplet import Triplet
from inkseek.losses.variance_parts import VarianceParts
from inkseek.relations import Batch, Relations

__all__ = [
    "L2",
    "RDVC",
    "SEC",
    "Adapted",
    "Batch",
    "BinomialDeviance",
    "Classification",
    "CollapseDetector",
    "Contrastive",
    "Description",
    "LiftedStructure",
    "ModalityAwareTriplet",
    "MultiSimilarity",
    "NPair",
    "Objective",
    "Quadruplet",
    "Ratio",
    "RelationTerm",
    "Relations",
    "RelativeDistanceDivergence",
    "SemiHardTriplet",
    "Term",
    "Triplet",
    "VarianceParts",
    "build",
    "build_objective",
    "describe",
    "diagnose",
    "gather",
]
