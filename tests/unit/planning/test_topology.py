from autoseg.planning.topology import topology_for


def test_an_isotropic_patch_is_halved_along_all_axes_down_to_four_voxels():
    topology = topology_for((1.0, 1.0, 1.0), (64.0, 64.0, 64.0))
    assert topology.patch_shape == (64, 64, 64)
    assert topology.strides == ((1, 1, 1), *((2, 2, 2),) * 4)
    assert set(topology.kernels) == {(3, 3, 3)}


def test_a_coarse_axis_is_halved_only_once_the_others_have_caught_up():
    topology = topology_for((4.0, 1.0, 1.0), (16.0, 64.0, 64.0))
    assert topology.strides[:4] == ((1, 1, 1), (1, 2, 2), (1, 2, 2), (2, 2, 2))


def test_a_kernel_spans_a_coarse_axis_from_the_stage_where_spacings_are_alike():
    topology = topology_for((4.0, 1.0, 1.0), (16.0, 64.0, 64.0))
    assert topology.kernels[:3] == ((1, 3, 3), (1, 3, 3), (3, 3, 3))


def test_the_lowest_stage_always_has_full_kernels():
    topology = topology_for((50.0, 1.0, 1.0), (4.0, 8.0, 8.0))
    assert topology.strides == ((1, 1, 1), (1, 2, 2))
    assert topology.kernels == ((1, 3, 3), (3, 3, 3))


def test_the_patch_is_rounded_up_to_what_its_strides_divide():
    topology = topology_for((1.0, 1.0, 1.0), (36.5, 50.0, 35.0))
    assert topology.patch_shape == (40, 56, 40)
    assert topology.divisors == (8, 8, 8)


def test_an_axis_that_would_be_halved_alone_needs_twelve_voxels():
    assert len(topology_for((1.0, 1.0), (11.0, 7.0)).strides) == 1
    assert topology_for((1.0, 1.0), (12.0, 7.0)).strides == ((1, 1), (2, 1))


def test_an_image_below_eight_voxels_gives_a_single_stage():
    topology = topology_for((1.0, 1.0), (5.0, 6.5))
    assert topology.strides == ((1, 1),)
    assert topology.patch_shape == (5, 7)


def test_an_axis_too_short_to_be_halved_does_not_keep_the_others_from_it():
    topology = topology_for((1.0, 3.0, 3.0), (6.0, 64.0, 64.0))
    assert topology.strides == ((1, 1, 1), *((1, 2, 2),) * 4)
