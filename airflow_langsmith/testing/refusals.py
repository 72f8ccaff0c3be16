"""Why a request was refused, and how each version of the API says so."""

from __future__ import annotations

from http import HTTPStatus

__all__ = ["Refusal", "invalid_field"]

_TITLES = {422: "Unprocessable Entity"}  # Python 3.13 has a newer phrase


class Refusal(Exception):  # noqa: N818 (an answer to the client, not an error of the server)
    """
    A request that the server does not serve.

    :param status: HTTP status of the answer.
    :param detail: The message to the client.
    :param loc: The place of the error in the request; v1 then answers in the form of its validator.
    :param body: The whole JSON body, if the real one has another form.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        loc: tuple[str | int, ...] = (),
        kind: str = "value_error",
        body: dict[str, object] | None = None,
    ) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail
        self.loc = loc
        self.kind = kind
        self.body = body

    def as_v1(self) -> dict[str, object]:
        """Write ``{"detail": ...}``: a sentence, or the validator's list of errors."""
        if self.body is not None:
            return self.body
        if self.loc:
            return {"detail": [{"loc": list(self.loc), "msg": self.detail, "type": self.kind}]}
        return {"detail": self.detail}

    def as_v2(self, instance: str) -> dict[str, object]:
        """Write problem details (RFC 7807). ``instance`` is the path without ``/api``."""
        if self.body is not None:
            return self.body
        place = ".".join(str(part) for part in self.loc[1:])
        return {
            "type": "about:blank",
            "title": _TITLES.get(self.status) or HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": f"invalid request: {place}: {self.detail}" if place else self.detail,
            "instance": instance,
        }


def invalid_field(field: str, message: str, *, kind: str = "value_error", where: str = "body") -> Refusal:
    """Refuse a field of the body or of the query string."""
    return Refusal(422, message, loc=(where, field), kind=kind)
