import torch

from autoseg.architectures.layers import InstanceNorm


def test_instance_norm_equals_the_one_of_torch():
    maps = torch.randn(2, 4, 5, 6) * 3 + 1
    expected = torch.nn.InstanceNorm2d(4, eps=1e-5, affine=True)(maps)
    torch.testing.assert_close(InstanceNorm(4)(maps), expected)


def test_a_map_of_one_voxel_is_scaled_and_shifted_only():
    norm = InstanceNorm(2)
    torch.nn.init.constant_(norm.weight, 3.0)
    torch.nn.init.constant_(norm.bias, 1.0)
    assert norm(torch.full((1, 2, 1, 1), 2.0)).flatten().tolist() == [7.0, 7.0]
