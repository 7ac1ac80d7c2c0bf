"""FID, FID-k and IS are those of the papers, whatever network gives the features."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from scipy.stats import entropy

from tuwen.manifests.errors import BadInput
from tuwen.train.judging.distances import blurred, frechet_distance, inception_score
from tuwen.train.judging.feature_network import open_network
from tuwen.train.judging.interval import share_of

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")

PICTURES = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), dtype=np.uint8)


class TinyNet(torch.nn.Module):
    """Features and logits."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.features = torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 4, stride=4), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(128, 12)
        )
        self.head = torch.nn.Linear(12, 5)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.features(pixels)
        return features, self.head(features)


def reference_fid(a: np.ndarray, b: np.ndarray) -> float:
    """As its authors' code has it: the root of the product itself."""
    sigma_a, sigma_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = sqrtm(sigma_a @ sigma_b).real
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(sigma_a + sigma_b - 2 * root))


@pytest.mark.parametrize("rows", [200, 2000])
def test_the_distance_is_that_of_the_reference_on_the_same_features(rows: int) -> None:
    generator = np.random.default_rng(rows)
    a = generator.normal(size=(rows, 32)) @ generator.normal(size=(32, 32))
    b = generator.normal(1, 2, size=(rows // 2, 32))
    assert frechet_distance(a, b) == pytest.approx(reference_fid(a, b), rel=1e-9)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-8)
    assert frechet_distance(a, a + 3) == pytest.approx(9 * 32)


def test_fewer_pictures_than_features_have_a_distance_too() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 10, 64))
    assert 0 < frechet_distance(a, b) == pytest.approx(frechet_distance(b, a))
    with pytest.raises(ValueError, match="two pictures"):
        frechet_distance(a[:1], b)


def test_the_inception_score_is_that_of_the_reference_and_counts_classes() -> None:
    logits = np.random.default_rng(1).normal(size=(100, 7))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    parts = np.array_split(p, 10)
    expected = [np.exp(np.mean([entropy(row, part.mean(axis=0)) for row in part])) for part in parts]
    assert inception_score(logits) == pytest.approx((np.mean(expected), np.std(expected)))
    certain = 1000 * np.eye(7)[np.arange(70) % 7]
    assert inception_score(certain, splits=1)[0] == pytest.approx(7)


def test_a_blur_of_radius_0_is_none_and_a_larger_one_hides_more() -> None:
    assert blurred(PICTURES, 0) is PICTURES
    deviations = [float(blurred(PICTURES, radius).std(axis=(1, 2)).mean()) for radius in (0, 1, 2, 4)]
    assert deviations == sorted(deviations, reverse=True)
    assert deviations[3] < deviations[0] / 8


def test_a_torchscript_and_an_onnx_file_of_one_network_give_its_features_and_logits(tmp_path: Path) -> None:
    net = TinyNet().eval()
    example = torch.rand(2, 3, 16, 16)
    torch.jit.trace(net, example).save(tmp_path / "net.ts")
    with warnings.catch_warnings():  # the exporter without another package is called legacy
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net, (example,), tmp_path / "net.onnx", dynamo=False, dynamic_axes={"pixels": {0: "n"}},
            input_names=["pixels"],
        )  # fmt: skip
    with torch.no_grad():
        features, logits = (each.numpy() for each in net(torch.from_numpy(PICTURES).permute(0, 3, 1, 2) / 255))
    for file in ("net.ts", "net.onnx"):
        of_file = open_network(tmp_path / file)(PICTURES)
        np.testing.assert_allclose(of_file[0], features, atol=1e-5)
        np.testing.assert_allclose(of_file[1], logits, atol=1e-5)


def test_what_is_no_network_is_refused_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_text("none")
    (tmp_path / "a.onnx").write_text("none")
    with pytest.raises(BadInput, match=r"a.pt is no TorchScript file; save it with torch.jit.save"):
        open_network(tmp_path / "a.pt")
    with pytest.raises(BadInput, match=r"a.onnx is no ONNX file"):
        open_network(tmp_path / "a.onnx")
    with pytest.raises(BadInput, match=r"gone.pt is no file"):
        open_network(tmp_path / "gone.pt")
    torch.jit.trace(torch.nn.Conv2d(3, 4, 4), torch.rand(1, 3, 16, 16)).save(tmp_path / "maps.pt")
    with pytest.raises(BadInput, match="gives 4 dimensions; let it give"):
        open_network(tmp_path / "maps.pt")(PICTURES)


def test_a_share_has_wilsons_interval() -> None:
    assert share_of(np.arange(10) < 5) == {"share": 0.5, "low": 0.2366, "high": 0.7634, "count": 10}
    none, all_ = share_of([False] * 50), share_of([True] * 50)
    assert (none["low"], all_["high"]) == (0.0, 1.0)
    assert none["high"] == pytest.approx(0.0714, abs=1e-3) == pytest.approx(1 - all_["low"])
    with pytest.raises(ValueError, match="a share of nothing"):
        share_of([])
