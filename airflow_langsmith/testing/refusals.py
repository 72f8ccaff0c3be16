"""Why a request was refused, and how each version of the API says so."""

from __future__ import annotations

from http import HTTPStatus

__all__ = ["Refusal", "invalid_field"]


_TITLES = {422: "Unprocessable Entity"}  # Python 3.13 calls it by a newer name


class Refusal(Exception):  # noqa: N818 (a refusal is an answer to the client, not an error of the server)
    """
    A request the server will not serve.

    :param status: HTTP status of the answer.
    :param detail: What the client is told.
    :param loc: Where in the request the fault lies; v1 then answers in the form of its validator.
    :param body: The whole JSON body, where the real one fits neither version's usual form.
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
        """Write ``{"detail": ...}``: a sentence, or the validator's list of faults."""
        if self.body is not None:
            return self.body
        if self.loc:
            return {"detail": [{"loc": list(self.loc), "msg": self.detail, "type": self.kind}]}
        return {"detail": self.detail}

    def as_v2(self, instance: str) -> dict[str, object]:
        """Write problem details after RFC 7807; ``instance`` is the path without its ``/api``."""
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
    """Refuse a request because of one field of its body or query string."""
    return Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, message, loc=(where, field), kind=kind)
