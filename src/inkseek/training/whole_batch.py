"""The gradient of a loss over a whole batch, of which the network may see only a part at a time."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


def backward(
    network: nn.Module,
    inputs: Tensor,
    loss_of: Callable[[Tensor], Tensor],
    *,
    parts: int = 1,
    embed: Callable[[Tensor], Tensor] | None = None,
    reseed: Callable[[int], None] | None = None,
) -> Tensor:
    """Compute the loss over all embeddings, and add its gradient to every parameter's.

    A relational loss of the whole is not the sum of its parts' losses: most pairs would be lost. So the parts are
    embedded without a graph, the loss and its gradient by embedding, dL/df, are computed once over all of them, and
    each part is embedded again, now with a graph, and given its rows of dL/df. By the chain rule that is the whole
    batch's gradient, at the price of one more forward pass and in the memory of one part. (Known for contrastive losses
    as gradient caching: Gao et al., Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup, RepL4NLP
    2021.)

    BatchNorm that follows its batch sees parts instead of the whole, once each; frozen statistics make no difference.

    Args:
        network: what learns; DistributedDataParallel sums over processes once a batch.
        inputs: [N, ...]; both passes see these very numbers, augmentation included.
        loss_of: embeddings [N, dim] to a 0-d loss.
        parts: how many, at most N.
        embed: how inputs go through the network, `network` itself by default.
        reseed: is given a part's number before it goes through the network, so that dropout falls the same way twice.

    Returns:
        The loss, detached.
    """
    embed = embed or network
    reseed = reseed or (lambda _: None)
    if parts == 1:
        reseed(0)
        loss = loss_of(embed(inputs))
        torch.autograd.backward(loss)
        return loss.detach()
    pieces = torch.tensor_split(inputs, parts)
    statistics = [buffer.clone() for buffer in network.buffers()]
    rows = []
    with torch.no_grad():
        for number, piece in enumerate(pieces):
            reseed(number)
            rows.append(embed(piece))
        for buffer, before in zip(network.buffers(), statistics, strict=True):
            buffer.copy_(before)
    embeddings = torch.cat(rows).requires_grad_()
    loss = loss_of(embeddings)
    torch.autograd.backward(loss)
    assert embeddings.grad is not None, "the loss is of these embeddings"
    gradients = torch.split(embeddings.grad, [len(piece) for piece in pieces])
    for number, (piece, gradient) in enumerate(zip(pieces, gradients, strict=True)):
        with ExitStack() as stack:
            if isinstance(network, DistributedDataParallel) and number < parts - 1:
                stack.enter_context(network.no_sync())
            reseed(number)
            torch.autograd.backward(embed(piece), gradient)
    return loss.detach()
