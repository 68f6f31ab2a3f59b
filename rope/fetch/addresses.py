"""Which servers may be asked: no private addresses and no redirects elsewhere, unless the caller has named them."""

import ipaddress
import socket
import urllib.request

from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from rope.errors import UsageError
from rope.fetch.limits import FetchLimits
from rope.fetch.outcome import FetchError

__all__ = ["PublicResolver", "check_host", "is_public", "proxy_for", "redirect_target"]

_DEFAULT_PORTS = {"http": 80, "https": 443}


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet, also behind the ways to write IPv4 inside IPv6.

    >>> [is_public(ip) for ip in ("1.1.1.1", "2606:4700::1111")]
    [True, True]
    >>> private = ("127.0.0.1", "10.0.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "::1", "fe80::1", "fc00::1")
    >>> inside_ipv6 = ("::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "224.0.0.1")
    >>> [is_public(ip) for ip in (*private, *inside_ipv6)] == [False] * 12
    True
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in ipaddress.ip_network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast


def check_host(url: URL, limits: FetchLimits) -> None:
    """Check a URL that is about to be requested.

    Names are looked up later, by `PublicResolver`, so that the address that was checked is the one connected to.

    Raises:
        FetchError: bad_url, or private_address where the host is written as a private IP address.
    """
    if url.scheme not in _DEFAULT_PORTS or not url.host:
        raise FetchError("bad_url", f"{url.human_repr()} is not an address that begins with http:// or https://")
    if url.host in limits.private_hosts:
        return
    try:
        public = is_public(url.host)
    except ValueError:
        return  # a name
    if not public:
        raise FetchError("private_address", f"{url.host} is not a public address")


def redirect_target(first: URL, current: URL, location: str | None, limits: FetchLimits) -> URL:
    """Where a redirect leads.

    Args:
        first: the URL that was requested first.
        current: the URL that answered.
        location: its header `Location`.
        limits: says which other hosts are allowed.

    Raises:
        FetchError: bad_url, private_address, or redirect_refused for another host, for a port that is neither that of
            `first` nor a usual one, and for a step from https to http.
    """
    try:
        target = current.join(URL(location or ""))
    except ValueError as error:
        raise FetchError("bad_url", f"redirect to {location!r}, which is not an address") from error
    check_host(target, limits)
    if target.host in limits.redirect_hosts:
        return target
    if target.host != first.host:
        raise FetchError("redirect_refused", f"to another host, {target.host}")
    if target.port not in (first.port, *_DEFAULT_PORTS.values()):
        raise FetchError("redirect_refused", f"to another port, {target.port}")
    if current.scheme == "https" and target.scheme == "http":
        raise FetchError("redirect_refused", "from https to http")
    return target


def proxy_for(url: URL) -> URL | None:
    """The proxy that the environment names for an address (`HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`).

    Raises:
        UsageError: it is none that a request can go through.
    """
    proxies = urllib.request.getproxies_environment()
    address = proxies.get(url.scheme)
    if not address or urllib.request.proxy_bypass(f"{url.host}:{url.port}"):
        return None
    try:
        proxy = URL(address if "://" in address else f"http://{address}")
    except ValueError:
        proxy = URL()
    if proxy.scheme not in ("http", "https") or not proxy.host:
        raise UsageError(
            f"the proxy that the environment names for {url.scheme}:// is not an address that begins with http:// or "
            "https://; correct the variable, or list the server in NO_PROXY"
        )
    return proxy


class PublicResolver(AbstractResolver):
    """Looks up names with another resolver, and refuses those that have a private address among theirs.

    The connector connects to what this returns and nothing else, so a name that is first public and then private
    (DNS rebinding) is refused when it turns.
    """

    def __init__(self, inner: AbstractResolver, private_hosts: frozenset[str]) -> None:
        self._inner = inner
        self._private_hosts = private_hosts

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a host.

        Raises:
            FetchError: private_address.
            OSError: the name is not known.
        """
        found = await self._inner.resolve(host, port, family)
        private = [result["host"] for result in found if not is_public(result["host"])]
        if private and host not in self._private_hosts:
            raise FetchError("private_address", f"{host} has the address {private[0]}, which is not public")
        return found

    async def close(self) -> None:
        """Close the inner resolver."""
        await self._inner.close()
