"""The page of a model card."""

from autoseg.documents.model_card import CardChannel, CardClass, CardConfiguration, ModelCard
from autoseg.models.archive.model_card import card_page

HOSTILE = "not\na <img src=x onerror=alert(1)> [link](x) \x1b[2J"


def test_names_from_the_user_are_text_of_one_cell():
    card = ModelCard(
        dataset_name="{{ 7 * 7 }}",
        configurations=(
            CardConfiguration(
                name="2d",
                architecture="unet",
                parameters=1_234,
                working_spacing_mm=(1.0, 0.5),
                is_member=True,
                folds=(),
            ),
        ),
        num_axes=2,
        channels=(CardChannel(name="T1|T2", normalizer="zscore"),),
        classes=(
            CardClass(
                name="not\na <img src=x onerror=alert(1)> [link](x) \x1b[2J", value=0, cases=None
            ),
        ),
        orientation="2-D images are used as stored",
        data=None,
        autoseg="1.0",
    )

    lines = card_page(card, {"dice": "Dice"}).splitlines()

    assert lines[0] == r"# Model card: {{ 7 \* 7 }}"
    assert "| 0 | T1\\|T2 | unknown | zscore |" in lines
    name = r"not a &lt;img src=x onerror=alert(1)&gt; \[link\](x) \x1b\[2J"
    assert f"| 0 | {name} | – |" in lines
    assert "2d: unet with 1,234 parameters." in lines
    assert "The model has no scores." in lines
