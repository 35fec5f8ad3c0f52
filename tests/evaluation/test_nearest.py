import torch

from ebmnist.evaluation.nearest import nearest


def test_finds_copies_at_distance_zero_and_the_nearest_of_others() -> None:
    rng = torch.Generator().manual_seed(0)
    references = torch.rand(40, 1, 4, 4, generator=rng)
    queries = torch.cat([references[[7, 31]], torch.rand(20, 1, 4, 4, generator=rng)])
    found = nearest(queries, references, rows=6)
    distances = torch.cdist(queries.flatten(1).double(), references.flatten(1).double())
    assert found.indices.tolist() == distances.argmin(1).tolist()
    assert found.distances[:2].tolist() == [0, 0]
    torch.testing.assert_close(found.distances.double(), distances.amin(1), atol=1e-6, rtol=0)


def test_references_may_be_bytes() -> None:
    pixels = torch.arange(640).mul(37).remainder(256).byte().view(40, 1, 4, 4)
    queries = torch.rand(9, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    of_bytes, of_floats = (nearest(queries, references, rows=6) for references in (pixels, pixels / 255))
    assert of_bytes.indices.tolist() == of_floats.indices.tolist()
    assert torch.equal(of_bytes.distances, of_floats.distances)
