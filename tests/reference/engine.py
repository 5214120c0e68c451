"""llama.cpp through the shim that `prepare.sh` builds: ids in, logits' best two out.

One sequence at a time. Nothing here knows of prompts, files of results or clocks.
"""

import ctypes
from pathlib import Path

LIBRARIES = Path("node_modules/@node-llama-cpp/linux-x64/bins/linux-x64")


class Options(ctypes.Structure):
    """`reference_options` of the shim."""

    _fields_ = [
        ("positions", ctypes.c_int32),
        ("threads", ctypes.c_int32),
        ("attention_f32", ctypes.c_int32),
        ("repack", ctypes.c_int32),
    ]


class Engine:
    """A model with one context, used as a context manager."""

    def __init__(self, prepared, model, options):
        """`prepared`: the folder that prepare.sh filled. `model`: a GGUF file."""
        backends = str(Path(prepared).resolve() / LIBRARIES).encode()
        self._library = loaded(prepared)
        self._handle = self._library.reference_open(
            backends, str(model).encode(), ctypes.byref(options)
        )
        if not self._handle:
            raise RuntimeError(f"llama.cpp does not load {model}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._library.reference_close(self._handle)
        self._handle = None

    def system(self):
        """What llama.cpp says of the processor features it uses."""
        return self._library.reference_system().decode().strip()

    def tokenize(self, text, specials=False):
        """Ids of a text: BOS where the model wants it, specials parsed on request."""
        content = text.encode()
        ids = (ctypes.c_int32 * (len(content) + 8))()
        count = self._library.reference_tokenize(
            self._handle, content, len(content), ids, len(ids), int(specials)
        )
        if count < 0:
            raise RuntimeError("more tokens than bytes")
        return list(ids[:count])

    def piece(self, token):
        """The bytes that an id spells."""
        content = ctypes.create_string_buffer(512)
        count = self._library.reference_piece(self._handle, token, content, len(content))
        if count < 0:
            raise RuntimeError(f"id {token} spells more than {len(content)} bytes")
        return content.raw[:count]

    def forward(self, ids, position, rows=1):
        """One pass over `ids` from `position` on, with logits for the last `rows`."""
        array = (ctypes.c_int32 * len(ids))(*ids)
        status = self._library.reference_forward(self._handle, array, len(ids), position, rows)
        if status != 0:
            raise RuntimeError(f"llama.cpp refuses {len(ids)} ids at {position}: {status}")

    def best(self, row=-1):
        """((id, logit), (id, logit)) of the best two of a row, by default the last, best first."""
        ids = (ctypes.c_int32 * 2)()
        logits = (ctypes.c_float * 2)()
        if self._library.reference_best(self._handle, row, ids, logits) != 0:
            raise RuntimeError("there are no logits before a pass")
        return (ids[0], logits[0]), (ids[1], logits[1])

    def truncate(self, position):
        """Forgets every position from `position` on."""
        if not self._library.reference_truncate(self._handle, position):
            raise RuntimeError(f"llama.cpp cannot truncate to {position}")

    def ends(self, token):
        """Whether the model ends a generation with this id."""
        return bool(self._library.reference_is_end(self._handle, token))


def widen(prepared, model, widened):
    """Writes `model` with every quantised weight as f32."""
    if loaded(prepared).reference_widen(str(model).encode(), str(widened).encode()) != 0:
        raise RuntimeError(f"llama.cpp does not widen {model}")


def loaded(prepared):
    """The library that prepare.sh built, with the signatures of `shim.c`."""
    library = ctypes.CDLL(str(Path(prepared).resolve() / "libreference.so"))
    handle, number = ctypes.c_void_p, ctypes.c_int32
    numbers, text = ctypes.POINTER(ctypes.c_int32), ctypes.c_char_p
    signatures = {
        "reference_open": (handle, [text, text, ctypes.POINTER(Options)]),
        "reference_close": (None, [handle]),
        "reference_tokenize": (number, [handle, text, number, numbers, number, number]),
        "reference_piece": (number, [handle, number, text, number]),
        "reference_forward": (number, [handle, numbers, number, number, number]),
        "reference_best": (number, [handle, number, numbers, ctypes.POINTER(ctypes.c_float)]),
        "reference_truncate": (number, [handle, number]),
        "reference_is_end": (number, [handle, number]),
        "reference_widen": (number, [text, text]),
        "reference_system": (text, []),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
