"""Two processes, one batch: every loss has the gradient that one process has, rank order and uneven shares included."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from inkseek.losses import Batch, gather

# Run by each of the processes: all losses on shares of one batch, in one start, because starting is what takes time.
WORKER = """
import sys
import torch
from torch import distributed
from inkseek.losses import *

rank, world, store, out = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
torch.set_num_threads(1)
distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)

def objectives():
    torch.manual_seed(0)
    margin = torch.nn.Parameter(torch.tensor(0.7, dtype=torch.float64))
    yield "triplet", Triplet(margin)
    yield "semi-hard", SemiHardTriplet(0.7) + 0.5 * RDVC(pairs="mined")
    yield "semi-hard all", SemiHardTriplet(0.7, negatives="all")
    yield "n-pair", NPair()
    yield "n-pair dot", NPair("dot", scale=1, anchors="all") + 1e-4 * L2()
    yield "multi-similarity", MultiSimilarity() + 0.5 * RDVC(pairs="mined") + SEC(rho=0.5)
    yield "contrastive", Contrastive(1.2)
    yield "binomial", BinomialDeviance()
    yield "lifted", LiftedStructure()
    yield "quadruplet", Quadruplet(0.7)
    yield "quadruplet hard", Quadruplet(0.7, mining="batch_hard", smooth="softplus")
    yield "modality-aware", ModalityAwareTriplet(0.7)
    yield "classification", Classification(4, 5).double()
    yield "divergence", Triplet(0.7) + RelativeDistanceDivergence()
    yield "rdvc", Triplet(0.7) + Ratio(0.5) * RDVC()
    yield "rdvc sampled", Triplet(0.7) + 0.5 * RDVC(pairs="sampled")
    yield "rdvc mined", Triplet(0.7) + 0.5 * RDVC(pairs="mined")
    try:
        yield "proxy-anchor", build("proxy_anchor", {"classes": 4, "dim": 5}).double() + 0.1 * RDVC("cosine")
        yield "circle", build("circle")
    except Exception as error:
        assert "competitors" in str(error)

generator = torch.Generator().manual_seed(0)
weight = torch.randn(6, 5, dtype=torch.float64, generator=generator)
sketches, photos = (torch.randn(n, 6, dtype=torch.float64, generator=generator) for n in (8, 10))
labels, photo_labels = torch.arange(8) % 4, torch.arange(10) % 4
instances, photo_instances = torch.arange(8), torch.arange(10) - 2

def share(values, sizes):
    start = sum(sizes[:rank])
    return values[start:start + sizes[rank]]

results = {}
cases = {"even": ([4, 4], [5, 5]), "uneven": ([5, 3], [3, 7]), "one empty": ([8, 0], [10, 0])}
for case, (sizes, photo_sizes) in cases.items():
    if world == 1:
        sizes, photo_sizes = [8], [10]
    for domains in (1, 2):
        for level in ("category", "instance"):
            for name, objective in objectives():
                if domains == 1 and (level == "instance" or name.startswith(("quadruplet", "modality"))):
                    continue
                layer = torch.nn.Linear(6, 5, bias=False).double()
                with torch.no_grad():
                    layer.weight.copy_(weight.T)
                ours = [layer(share(sketches, sizes)), share(labels, sizes)]
                theirs = [layer(share(photos, photo_sizes)), share(photo_labels, photo_sizes)] if domains == 2 else []
                pairs = None if level == "category" else (share(instances, sizes), share(photo_instances, photo_sizes))
                batch = gather(Batch(*ours, *theirs, instances=pairs), even=case == "even")
                loss = objective(batch)
                loss.backward()
                gradient = layer.weight.grad.clone()
                distributed.all_reduce(gradient)  # as DistributedDataParallel: the mean over ranks
                key = f"{case} {domains} {level} {name}"
                results[key] = [loss.detach(), gradient / world, *(p.grad for p in objective.parameters())]
torch.save(results, f"{out}/{world}-{rank}.pt")
distributed.destroy_process_group()
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, list[torch.Tensor]]]:
    folder = tmp_path_factory.mktemp("gather")
    environment = os.environ | {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else dict(os.environ)
    started = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(rank), str(world), str(folder / f"store-{world}"), str(folder)],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for world in (1, 2)
        for rank in range(world)
    ]
    for process in started:
        _, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors
    return {name: torch.load(folder / f"{name}.pt", weights_only=True) for name in ("1-0", "2-0", "2-1")}


def test_two_processes_have_the_gradient_of_one(results: dict[str, dict[str, list[torch.Tensor]]]) -> None:
    one = results["1-0"]
    assert len(one) > 80
    for rank in ("2-0", "2-1"):
        assert results[rank].keys() == one.keys()
        for key, expected in one.items():
            for ours, theirs in zip(results[rank][key], expected, strict=True):
                torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12, msg=f"rank {rank[-1]}, {key}")
            assert expected[1].any(), f"{key} moves nothing, and would pass whatever gather did"


def test_one_process_keeps_its_batch() -> None:
    batch = Batch(torch.randn(4, 3), [0, 0, 1, 1])
    assert gather(batch) is batch
