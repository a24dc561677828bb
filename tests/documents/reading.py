"""Reading a document that a test has just written."""

import pytest

from memagent.documents import open_document
from memagent.errors import InputError


def pieces(folder, name, content, **options):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(open_document(path, name=name, **options).pieces())


def sections(found):
    return [(piece.section, piece.text) for piece in found]


def refusal(folder, name, content, **options):
    with pytest.raises(InputError) as caught:
        pieces(folder, name, content, **options)
    message = str(caught.value)
    assert message.startswith(name)
    assert "\n" not in message
    return message
