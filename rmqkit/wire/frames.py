"""Frames of the remoting protocol: a command to bytes and back, whole or piece by piece.

What belongs here: the frame (length, header, body) and both header types (JSON and ROCKETMQ binary). What
does not: the meaning of a body (``bodies``, ``messages``), sockets (``rmqkit.transport``).

Source: RemotingCommand, RocketMQSerializable and NettyDecoder of RocketMQ's remoting module.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Protocol

from rmqkit.errors import FrameTooLargeError, WireError

MAX_FRAME_BYTES = 16_777_216
"""NettyDecoder.FRAME_MAX_LENGTH: the peer closes a connection that sends more."""

CLIENT_VERSION = 401
"""MQVersion ordinal of V4_9_4: accepted by 4.5.1 to 5.3.2, below the version that a proxy sends GO_AWAY to.
"""

CLIENT_LANGUAGE = "PYTHON"
"""Every version knows it; an unknown language makes the peer fail to decode the header."""

FLAG_RESPONSE = 1
FLAG_ONEWAY = 2

_JSON_HEADER = 0
_BINARY_HEADER = 1
_LANGUAGES = (
    "JAVA",
    "CPP",
    "DOTNET",
    "PYTHON",
    "DELPHI",
    "ERLANG",
    "RUBY",
    "OTHER",
    "HTTP",
    "GO",
    "PHP",
    "OMS",
    "RUST",
)
_NO_EXT: Mapping[str, str] = MappingProxyType({})

_LENGTHS = struct.Struct(">II")
_BINARY_FIXED = struct.Struct(">hBhiii")
_INT = struct.Struct(">i")
_raw_json = json.JSONDecoder().raw_decode
_SHORT = struct.Struct(">h")


class Request(Protocol):
    """What a connection can send: a :class:`Command`, or something that makes its frame with less ado."""

    @property
    def code(self) -> int:
        """The request's code, for messages."""
        ...

    def frame(self, opaque: int, *, oneway: bool = False) -> bytes:
        """The whole frame, under the number ``opaque``; ``oneway`` marks it as one that wants no answer."""
        ...


@dataclass(frozen=True, slots=True)
class Command:
    """One frame: a request, a one-way request, or an answer. ``ext`` holds the header's fields as text."""

    code: int
    opaque: int = 0
    flag: int = 0
    remark: str = ""
    ext: Mapping[str, str] = field(default_factory=lambda: _NO_EXT)
    body: bytes = b""
    language: str = CLIENT_LANGUAGE
    version: int = CLIENT_VERSION

    @property
    def is_response(self) -> bool:
        """Whether this answers a request."""
        return bool(self.flag & FLAG_RESPONSE)

    @property
    def is_oneway(self) -> bool:
        """Whether the sender expects no answer."""
        return bool(self.flag & FLAG_ONEWAY)

    def frame(self, opaque: int, *, oneway: bool = False) -> bytes:
        """The whole frame of this command; raises what :func:`encode` raises."""
        return encode(replace(self, flag=self.flag | FLAG_ONEWAY) if oneway else self, opaque=opaque)

    @classmethod
    def request(cls, code: int, *, ext: Mapping[str, object] | None = None, body: bytes = b"") -> Command:
        """A request; values of ``ext`` become text (booleans as Java writes them), ``None`` is left out."""
        return cls(code=int(code), ext=_as_text(ext) if ext else _NO_EXT, body=body)

    @classmethod
    def answer(
        cls,
        request: Command,
        *,
        code: int = 0,
        remark: str = "",
        ext: Mapping[str, object] | None = None,
        body: bytes = b"",
    ) -> Command:
        """The answer to ``request``: what a peer would send (for scripted peers, and to refuse a peer's
        request).
        """
        return cls(
            code=int(code),
            opaque=request.opaque,
            flag=FLAG_RESPONSE,
            remark=remark,
            ext=_as_text(ext) if ext else _NO_EXT,
            body=body,
        )


def encode(command: Command, *, opaque: int | None = None, binary_header: bool = False) -> bytes:
    """The whole frame of ``command``; ``opaque`` replaces the command's own.

    Raises :class:`FrameTooLargeError` beyond the protocol's limit and :class:`WireError` for a value that the
    header cannot hold (a binary header has 16 bits for the code, so DLedger's codes need the JSON one).
    """
    number = command.opaque if opaque is None else opaque
    header = _encode_binary(command, number) if binary_header else _encode_json(command, number)
    return join_frame(header, command.body, binary_header=binary_header)


def join_frame(header: bytes, body: bytes, *, binary_header: bool = False) -> bytes:
    """A frame of an encoded header and a body. Raises :class:`FrameTooLargeError` beyond the protocol's limit."""
    total = 4 + len(header) + len(body)
    if total > MAX_FRAME_BYTES:
        raise FrameTooLargeError(
            f"a frame of {total} bytes (header {len(header)}, body {len(body)}) is beyond"
            f" the protocol's limit of {MAX_FRAME_BYTES}",
            hint="send a smaller body; the peer would close the connection",
        )
    kind = _BINARY_HEADER if binary_header else _JSON_HEADER
    return b"".join((_LENGTHS.pack(total, kind << 24 | len(header)), header, body))


def decode(frame: bytes) -> Command:
    """The command in one whole frame. Raises :class:`WireError` when it is short, long or not a frame."""
    decoder = FrameDecoder()
    commands = list(decoder.feed(frame))
    if len(commands) != 1 or decoder.buffered:
        raise WireError(
            f"expected one whole frame, found {len(commands)} and {decoder.buffered} bytes of another"
            f" (first bytes {bytes(frame[:16])!r})"
        )
    return commands[0]


class FrameDecoder:
    """Takes bytes as they come and gives the commands that are complete. Sans-IO; one per connection.

    After an error the stream has lost its borders: close the connection.
    """

    __slots__ = ("_buffer", "_seen_any")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._seen_any = False

    @property
    def buffered(self) -> int:
        """Bytes of a frame that is not complete yet."""
        return len(self._buffer)

    def feed(self, data: bytes | memoryview) -> Iterator[Command]:
        """Add ``data`` at once; the iterator gives complete commands, then raises if what follows is no
        frame. Exhaust it before ``data`` changes.
        """
        if self._buffer or len(data) < 8:
            self._buffer += data
            return self._drain_buffer()
        return self._drain(data)

    def _drain_buffer(self) -> Iterator[Command]:
        buffer = self._buffer
        total = int.from_bytes(buffer[:4], "big")
        if 4 <= total <= MAX_FRAME_BYTES and len(buffer) < 4 + total:
            return iter(())  # a large frame comes in many pieces: do not copy them each time
        self._buffer = bytearray()
        return self._drain(memoryview(buffer))

    def _drain(self, data: bytes | memoryview) -> Iterator[Command]:
        at, end = 0, len(data)
        while end - at >= 8:
            total, word = _LENGTHS.unpack_from(data, at)
            kind, header_end, frame_end = word >> 24, at + 8 + (word & 0xFFFFFF), at + 4 + total
            if frame_end > end or total < 4:
                break
            if header_end > frame_end:
                first = bytes(data[at : at + 24])
                raise WireError(
                    f"{self._where()} has a header of {word & 0xFFFFFF} bytes in {total - 4}; first bytes {first!r}",
                    hint=_guess(first),
                )
            # one copy each, whatever the size
            header, body = bytes(data[at + 8 : header_end]), bytes(data[header_end:frame_end])
            if kind == _JSON_HEADER:
                command = _decode_json(header, body)
            elif kind == _BINARY_HEADER:
                command = _decode_binary(header, body)
            else:
                first = bytes(data[at : at + 24])
                raise WireError(
                    f"{self._where()} has header type {kind}; RocketMQ knows 0 (JSON) and 1 (binary);"
                    f" first bytes {first!r}",
                    hint=_guess(first),
                )
            self._seen_any = True
            at = frame_end
            yield command
        if at < end:
            self._buffer += data[at:]
            total = int.from_bytes(self._buffer[:4], "big")
            if len(self._buffer) >= 4 and not 4 <= total <= MAX_FRAME_BYTES:
                raise self._bad_total(total, bytes(self._buffer[:24]))

    def _bad_total(self, total: int, first: bytes) -> WireError:
        if total > MAX_FRAME_BYTES:
            return FrameTooLargeError(
                f"{self._where()} announces {total} bytes, beyond the protocol's limit of"
                f" {MAX_FRAME_BYTES}; first bytes {first!r}",
                hint=_guess(first),
            )
        return WireError(
            f"{self._where()} announces {total} bytes, fewer than its own header length field; first bytes {first!r}",
            hint=_guess(first),
        )

    def _where(self) -> str:
        return "a frame" if self._seen_any else "the first frame"


def _as_text(ext: Mapping[str, object]) -> Mapping[str, str]:
    out: dict[str, str] = {}
    for name, value in ext.items():
        if value is None:
            continue
        if isinstance(value, bool):
            out[name] = "true" if value else "false"
        elif isinstance(value, int):
            out[name] = str(int(value))
        else:
            out[name] = str(value)
    return out


def _encode_json(command: Command, opaque: int) -> bytes:
    header: dict[str, object] = {
        "code": command.code,
        "language": command.language,
        "version": command.version,
        "opaque": opaque,
        "flag": command.flag,
        "serializeTypeCurrentRPC": "JSON",
    }
    if command.remark:
        header["remark"] = command.remark
    if command.ext:
        header["extFields"] = dict(command.ext)
    return json.dumps(header, separators=(",", ":")).encode("ascii")


def _encode_binary(command: Command, opaque: int) -> bytes:
    try:
        parts: list[bytes] = []
        for name, value in command.ext.items():
            name_bytes, value_bytes = name.encode(), value.encode()
            parts += (_SHORT.pack(len(name_bytes)), name_bytes, _INT.pack(len(value_bytes)), value_bytes)
        ext = b"".join(parts)
        remark = command.remark.encode()
        fixed = _BINARY_FIXED.pack(
            command.code,
            _LANGUAGES.index(command.language),
            command.version,
            opaque,
            command.flag,
            len(remark),
        )
        return b"".join((fixed, remark, _INT.pack(len(ext)), ext))
    except (struct.error, ValueError) as error:
        raise WireError(
            f"a binary header cannot hold {command.code=} {command.language=} {command.version=}: {error}",
            hint="use the JSON header",
        ) from error


def _decode_json(header: bytes, body: bytes) -> Command:
    try:
        text = header.decode()
        fields, end = _raw_json(text)
        if end != len(text):
            raise ValueError(f"something follows the object at {end}")
        get = fields.get
        ext, remark = get("extFields"), get("remark")
        code, opaque, flag, version = fields["code"], fields["opaque"], get("flag", 0), get("version", 0)
        if remark is None:
            remark = ""
        # In so many words: this runs for every answer. A bool is no int here.
        if (
            code.__class__ is not int
            or opaque.__class__ is not int
            or flag.__class__ is not int
            or version.__class__ is not int
            or remark.__class__ is not str
        ):
            raise TypeError("code, opaque, flag and version must be integers, remark text")
        command = Command(
            code,
            opaque,
            flag,
            remark,
            {name: value if value.__class__ is str else _scalar(value) for name, value in ext.items()}
            if ext
            else _NO_EXT,
            body,
            get("language", "JAVA"),
            version,
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WireError(f"a JSON header does not parse ({type(error).__name__}: {error}): {header[:120]!r}") from error
    return command


def _scalar(value: object) -> str:
    if value is None:
        return ""
    return json.dumps(value)


def _decode_binary(header: bytes, body: bytes) -> Command:
    try:
        code, language, version, opaque, flag, remark_length = _BINARY_FIXED.unpack_from(header)
        at = _BINARY_FIXED.size
        remark, at = _take(header, at, remark_length)
        (ext_length,) = _INT.unpack_from(header, at)
        at += 4
        if ext_length != len(header) - at:
            raise ValueError(f"ext fields of {ext_length} bytes in {len(header) - at}")
        ext: dict[str, str] = {}
        while at < len(header):
            name, at = _take(header, at + 2, _SHORT.unpack_from(header, at)[0])
            value, at = _take(header, at + 4, _INT.unpack_from(header, at)[0])
            ext[name] = value
    except (struct.error, ValueError) as error:
        raise WireError(f"a binary header does not parse ({error}): {header[:120]!r}") from error
    return Command(
        code=code,
        opaque=opaque,
        flag=flag,
        remark=remark,
        ext=ext or _NO_EXT,
        body=body,
        language=_LANGUAGES[language] if language < len(_LANGUAGES) else f"UNKNOWN({language})",
        version=version,
    )


def _take(data: bytes, at: int, length: int) -> tuple[str, int]:
    end = at + length
    if length < 0 or end > len(data):
        raise ValueError(f"{length} bytes at {at} of {len(data)}")
    return data[at:end].decode(), end


def _guess(first: bytes) -> str:
    """What may be at the other end instead, from its first bytes."""
    if first.startswith((b"HTTP/", b"<!DO", b"<htm")):
        seen = "an HTTP server answered"
    elif first.startswith(b"SSH-"):
        seen = "an SSH server answered"
    elif len(first) > 2 and first[0] in (0x15, 0x16) and first[1] == 3:
        seen = "a TLS endpoint answered"
    else:
        seen = "an HTTP server, for one, answers 'HTTP/1.1 …'"
    return f"is this a RocketMQ port? {seen}; NameServers listen on 9876, brokers on their listenPort"
