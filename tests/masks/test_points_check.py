"""Clicks are scaled to the canvas, put inside it, or refused with the reason; and the flags about them."""

from __future__ import annotations

import pytest

from masks.errors import MaskError
from masks.points_check import box_prompts, check_prompts, with_exclusions
from masks.prompts import Box, MaskObject, Point, Prompt, Prompts


def clicked(
    *points: Point, space: tuple[int, int] | None = None, box: Box | None = None, frame: int = 0
) -> Prompts:
    return Prompts((MaskObject("person", (Prompt(frame, points, box),)),), space, "a test")


def checked(prompts: Prompts, width: int = 1280, height: int = 720, frame_count: int = 10) -> Prompts:
    return check_prompts(prompts, width, height, frame_count)


def error_of(prompts: Prompts) -> MaskError:
    with pytest.raises(MaskError) as error:
        checked(prompts)
    assert error.value.remedy
    return error.value


def only(prompts: Prompts) -> Prompt:
    return prompts.objects[0].prompts[0]


@pytest.mark.parametrize("space", [None, (1280, 720)])
def test_pixels_of_the_canvas_stay_as_they_are_without_a_notice(space: tuple[int, int] | None) -> None:
    prompts = checked(clicked(Point(0, 0), Point(1279.5, 719.5), space=space))
    assert only(prompts).points == (Point(0, 0), Point(1279.5, 719.5))
    assert prompts.space == (1280, 720) and prompts.notices == ()


def test_another_size_is_scaled_with_a_notice() -> None:
    prompts = checked(clicked(Point(320, 90), space=(640, 360), box=Box(10, 20, 30, 40)))
    assert only(prompts) == Prompt(0, (Point(640, 180),), Box(20, 40, 60, 80))
    (notice,) = prompts.notices
    assert "640x360" in notice and "1280x720" in notice


def test_fractions_are_scaled_to_any_canvas() -> None:
    prompts = checked(clicked(Point(0.25, 0.5), Point(1, 1), space=(1, 1)), 1104, 832)
    assert only(prompts).points == (Point(276, 416), Point(1103, 831))
    assert prompts.notices == ()


@pytest.mark.parametrize(
    ("space", "canvas"),
    [
        ((832, 480), (1280, 720)),
        ((1920, 1080), (1280, 704)),
        ((1080, 1920), (720, 1280)),
        ((854, 480), (848, 480)),
    ],
)
def test_sides_that_were_rounded_to_16_are_the_same_shape(
    space: tuple[int, int], canvas: tuple[int, int]
) -> None:
    prompts = check_prompts(clicked(Point(10, 10), space=space), *canvas, 1)
    (point,) = only(prompts).points
    assert (point.x, point.y) == pytest.approx((10 * canvas[0] / space[0], 10 * canvas[1] / space[1]))


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ((640, 640), "640x640"),
        ((720, 1280), "changed places"),
        ((1024, 768), "shape"),
        ((1200, 800), "shape"),
    ],
)
def test_another_shape_is_another_picture(space: tuple[int, int], words: str) -> None:
    error = error_of(clicked(Point(10, 10), space=space))
    assert error.code == "mask.points-aspect"
    assert words in str(error) and "1280x720" in error.what


def test_points_on_the_far_edge_are_put_on_the_last_pixel() -> None:
    for space in (None, (640, 360), (832, 480)):
        width, height = space or (1280, 720)
        prompts = checked(clicked(Point(width, height), space=space))
        assert only(prompts).points == (Point(1279, 719),)


@pytest.mark.parametrize("point", [Point(-1, 5), Point(5, -0.5), Point(1281, 5), Point(5, 720.5, False)])
def test_points_outside_the_picture_are_named(point: Point) -> None:
    error = error_of(clicked(Point(1, 1), point))
    assert error.code == "mask.points-outside"
    assert f"({point.x:g}, {point.y:g})" in error.what and "1280x720" in error.what
    assert "frame 0" in error.what and "'person'" in error.what
    assert "another size" in error.remedy


def test_places_are_told_as_they_stand_in_the_file() -> None:
    error = error_of(clicked(Point(700, 5), space=(640, 360)))
    assert "(700, 5)" in error.what and "640x360" in error.what


def test_a_box_that_reaches_over_the_edge_a_little_is_cut_off_there() -> None:
    prompts = checked(clicked(box=Box(-20, 100, 300, 730)))
    assert only(prompts).box == Box(0, 100, 300, 720)
    assert "cut off" in prompts.notices[0]


@pytest.mark.parametrize("box", [Box(-200, 0, 300, 300), Box(1280, 0, 1300, 300), Box(10, 10, 50, 800)])
def test_a_box_outside_the_picture_is_refused(box: Box) -> None:
    assert error_of(clicked(box=box)).code == "mask.points-outside"


def test_every_object_needs_a_positive_point_or_a_box_and_negative_ones_alone_correct() -> None:
    corrected = MaskObject("person", (Prompt(0, (Point(1, 1),)), Prompt(4, (Point(1, 1, False),))))
    assert checked(Prompts((corrected,), None, "a test")).objects == (corrected,)
    nothing = MaskObject("dog", (Prompt(4, (Point(1, 1, False),)),))
    error = error_of(Prompts((corrected, nothing), None, "a test"))
    assert error.code == "mask.points-no-positive" and "'dog'" in error.what
    assert error_of(clicked()).code == "mask.points-no-positive"
    assert only(checked(clicked(Point(1, 1, False), box=Box(0, 0, 9, 9)))).box == Box(0, 0, 9, 9)


def test_a_frame_that_the_clip_does_not_have() -> None:
    assert only(checked(clicked(Point(1, 1), frame=9))).frame == 9
    error = error_of(clicked(Point(1, 1), frame=10))
    assert error.code == "mask.points-unknown-frame"
    assert "frame 10" in error.what and "0 to 9" in error.what


def several() -> Prompts:
    names = ("dancer", "neighbour", "child")
    things = tuple(MaskObject(name, (Prompt(0, (Point(1, 1),)),)) for name in names)
    return Prompts(things, None, "a test")


@pytest.mark.parametrize("names", [["neighbour", "child"], ["neighbour, child"]])
def test_named_objects_are_taken_out(names: list[str]) -> None:
    prompts = with_exclusions(several(), names)
    assert [thing.excluded for thing in prompts.objects] == [False, True, True]
    assert [thing.excluded for thing in checked(prompts).objects] == [False, True, True]


def test_an_unknown_name_is_told_with_the_known_ones() -> None:
    with pytest.raises(MaskError, match="did you mean 'neighbour'") as error:
        with_exclusions(several(), ["nieghbour"])
    assert error.value.code == "mask.points-exclude"
    assert "'dancer', 'neighbour', 'child'" in error.value.remedy


def test_nothing_left_is_an_error_however_it_came_about() -> None:
    with pytest.raises(MaskError) as error:
        with_exclusions(several(), ["dancer", "neighbour", "child"])
    assert error.value.code == "mask.points-all-excluded"
    thing = MaskObject("person", (Prompt(0, (Point(1, 1),)),), excluded=True)
    assert error_of(Prompts((thing,), None, "a test")).code == "mask.points-all-excluded"


@pytest.mark.parametrize("box", ["420 80 760 700", "420, 80,760 , 700", (420, 80, 760, 700)])
def test_the_box_of_the_flag_is_on_the_first_frame(box: str | tuple[float, ...]) -> None:
    prompt = only(checked(box_prompts(box)))
    assert prompt == Prompt(0, (), Box(420, 80, 760, 700))


@pytest.mark.parametrize(
    "box", ["", "1 2 3", "1 2 3 x", "1 2 3 nan", "9 2 3 4", "1 2 1 4", (1.0, 2.0), "1 2 3 1e99"]
)
def test_a_box_of_the_flag_that_is_none(box: str | tuple[float, ...]) -> None:
    with pytest.raises(MaskError, match="--mask_box") as error:
        box_prompts(box)
    assert error.value.code == "mask.points-box"


def test_a_box_of_the_flag_outside_the_picture_is_told_of_which_picture_its_numbers_are() -> None:
    error = error_of(box_prompts("10 10 2000 500"))
    assert error.code == "mask.points-outside" and "stage 1" in error.remedy
