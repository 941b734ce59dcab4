"""Spellings of one class are joined, two spellings in one place are an error."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inkseek.datasets.class_names import class_key, shared, spelled_as
from inkseek.errors import InkseekError


@pytest.mark.parametrize(
    "names",
    [
        ("teddy_bear", "teddy-bear", "Teddy bear", "teddybear"),
        ("car_(sedan)", "car (sedan)", "Car(sedan)"),
        ("hot-air_balloon", "hot air balloon"),
        ("caf\u00e9", "cafe\u0301", "cafe"),
    ],
)
def test_spellings_of_one_class(names: tuple[str, ...]) -> None:
    assert len({class_key(name) for name in names}) == 1


def test_digits_tell_classes_apart() -> None:
    assert class_key("Audi S4 Sedan 2012") != class_key("Audi S4 Sedan 2007")


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(), st.text(alphabet=" _-()./'"))
def test_marks_and_case_never_count(name: str, marks: str) -> None:
    assert class_key(name + marks) == class_key(name)
    assert class_key(class_key(name)) == class_key(name)


def test_found_names_get_the_known_spelling() -> None:
    known = ("car (sedan)", "race car", "teddy-bear")
    assert spelled_as(["teddy_bear", "car", "Race-Car", "other"], known, "here") == {
        "teddy_bear": "teddy-bear",
        "car": "car (sedan)",
        "Race-Car": "race car",
    }


def test_an_exact_name_goes_before_one_with_a_qualifier() -> None:
    assert spelled_as(["mouse"], ("mouse (animal)", "mouse"), "here") == {"mouse": "mouse"}


@pytest.mark.parametrize("found", [["teddy_bear", "teddy-bear"], ["car", "car (sedan)"]])
def test_two_spellings_in_one_place_are_an_error(found: list[str]) -> None:
    with pytest.raises(InkseekError, match=r"^here: .* are spellings of one class"):
        spelled_as(found, ("teddy bear", "car (sedan)"), "here")


def test_shared_classes_keep_the_first_spelling() -> None:
    assert shared(("bear (animal)", "hot-dog", "crocodile"), ("bear", "hotdog", "crocodilian")) == (
        "bear (animal)",
        "hot-dog",
    )
