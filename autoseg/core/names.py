"""Names that become files or folders, checked wherever a document stores one."""

import re
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

LONGEST_NAME = 230
"""Maximum length in characters: file systems allow 255 bytes, and a temporary file adds 25."""

_CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029"

FILE_NAME = re.compile(
    rf"^[^./\\{_CONTROL}](?:[^/\\:{_CONTROL}][^/\\{_CONTROL}]{{0,{LONGEST_NAME - 2}}})?$"
)
"""Pattern of a name that leads nowhere else on any system: no separators, no leading dot, no drive
letter, and no control characters."""

SURROGATES = re.compile(r"[\ud800-\udfff]")
"""Characters that stand for bytes of a file name that is not UTF-8; JSON cannot hold them."""

EXPECTED = (
    f"expected 1 to {LONGEST_NAME} characters without slashes, backslashes or control characters, "
    "and neither a dot nor a drive letter at the start"
)


class _FileName:
    """Validates a name in compiled code, because documents may hold 100 000 of them."""

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[Any], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Return the schema of a text that matches `FILE_NAME`."""
        del source, handler
        return core_schema.custom_error_schema(
            core_schema.str_schema(pattern=FILE_NAME.pattern),
            custom_error_type="file_name",
            custom_error_message=f"not a valid folder name; {EXPECTED}",
        )


FileName = Annotated[str, _FileName]
"""A name that becomes a file or folder, such as that of a case or a configuration."""


def is_file_name(name: str) -> bool:
    """Return True if a name is a valid `FileName`."""
    return FILE_NAME.fullmatch(name) is not None and not SURROGATES.search(name)
