"""The label map of the user where files name their classes: which name is which class."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from autoseg.core.errors import DatasetError
from autoseg.core.formatting import format_names
from autoseg.datasets.layouts.declared_labels import BACKGROUND, IGNORE
from autoseg.datasets.recognition.label_forms import LabelForm

NAMED_FORMS = ("dicom", "polygons")
"""Forms whose files name the class of each shape or segment."""


@dataclass(frozen=True)
class NameMap:
    """Classes of the names in files.

    Attributes:
        classes: Class of each name; equal classes are merged. `background` and `ignore` have their
            special meaning.
    """

    classes: Mapping[str, str]

    def applied(self, form: LabelForm) -> LabelForm:
        """Return a form with the listed classes; what has another name is left out.

        Raises:
            DatasetError: If the files have values instead of names, or lack a name.
        """
        if form.form not in NAMED_FORMS:
            raise DatasetError(
                f"--label-map lists the names {format_names(list(self.classes))}, but names choose "
                "only shapes and DICOM segments. List values or colours, such as "
                "0=background,1=liver or 128:64:128=road; if there is a file per class, or headers "
                "name the segments, leave --label-map out."
            )
        found = [name for value, name in form.names.items() if value]
        if unknown := [name for name in self.classes if name not in found]:
            raise DatasetError(
                f"--label-map lists {format_names(unknown)}, which no file has. The names in the "
                f"files are {format_names(found, 20)}."
            )
        chosen = dict.fromkeys(self.classes.values())
        others = [name for name in chosen if name not in (BACKGROUND, IGNORE)]
        others += [name for name in chosen if name == IGNORE]
        values = {BACKGROUND: 0} | {name: value for value, name in enumerate(others, start=1)}
        left_out = [name for name in found if name not in self.classes]
        note = f"left out by --label-map: {format_names(left_out, 10)}"
        return replace(
            form,
            names={value: name for name, value in values.items()},
            drawn={name: values[choice] for name, choice in self.classes.items()},
            notes=(*form.notes, *((note,) if left_out else ())),
        )
