"""Headers, cookies and proxies: who gets them, and that nobody sees them."""

import re

import pytest

from rope.errors import UsageError
from rope.fetch.access import COOKIES_VARIABLE, HEADERS_VARIABLE, read_access
from rope.fetch.fetch import fetch_images
from tests.fetch.conftest import ledger_of, limits, release_of

SECRET = "tok3n-of-mine"


def cookie_file(path, host="127.0.0.1", value=SECRET, expires=4_000_000_000):
    line = "\t".join([host, "FALSE", "/", "FALSE", str(expires), "session", value])
    path.write_text(f"# Netscape HTTP Cookie File\n{line}\n")
    return path


def fetch(release, to, prefix, access, **changes):
    return fetch_images(release, to, prefix=prefix, limits=limits(**changes), access=access, progress=False)


def everything_in(folder):
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_headers_go_to_the_server_of_the_prefix_alone(serve, tmp_path):
    ours, theirs = serve(), serve()
    release = release_of(["a.jpg", f"{theirs.prefix}b.jpg"], tmp_path / "release")
    access = read_access([f"Authorization: Bearer {SECRET}", "X-Key: 7"])
    assert fetch(release, tmp_path / "to", ours.prefix, access).n_fetched == 3
    assert all(f"Authorization: Bearer {SECRET}\r\nX-Key: 7\r\n" in head for _, head in ours.heads)
    assert len(theirs.heads) == 1
    assert SECRET not in theirs.heads[0][1]


def test_a_redirect_to_another_server_gets_no_header(serve, tmp_path):
    theirs = serve()
    ours = serve(behave=lambda name: "to_other_host")
    release = release_of(["a.jpg"], tmp_path / "release")
    access = read_access([f"Authorization: {SECRET}"], cookie_file(tmp_path / "cookies"))
    fetch(release, tmp_path / "to", ours.prefix, access, redirect_hosts=frozenset({"elsewhere.example"}), tries=1)
    assert theirs.heads == []


def test_cookies_go_where_they_belong(serve, tmp_path):
    server = serve()
    release = release_of(["a.jpg"], tmp_path / "release")
    fetch(release, tmp_path / "a", server.prefix, read_access(cookies=cookie_file(tmp_path / "cookies")))
    assert all(f"Cookie: session={SECRET}\r\n" in head for _, head in server.heads)
    server.heads.clear()
    other = read_access(["Cookie: mine=1"], cookie_file(tmp_path / "other", host="elsewhere.example"))
    fetch(release, tmp_path / "b", server.prefix, other)
    assert all("Cookie: mine=1\r\n" in head for _, head in server.heads)


def test_the_environment_counts_too(serve, tmp_path):
    environment = {HEADERS_VARIABLE: "X-A: 1\n\nX-B: 2\n", COOKIES_VARIABLE: str(cookie_file(tmp_path / "cookies"))}
    access = read_access(["X-C: 3"], environment=environment)
    assert access.headers == (("X-A", "1"), ("X-B", "2"), ("X-C", "3"))
    assert len(access.cookies) == 1


@pytest.mark.parametrize("fate", ["404", "truncated", "html"])
def test_nothing_secret_is_written_or_shown(fate, serve, tmp_path, capsys):
    server = serve(behave=lambda name: fate)
    release = release_of(["a.jpg"], tmp_path / "release")
    prefix = f"http://me:{SECRET}@127.0.0.1:{server.port}/get?key={SECRET}&n=/images/"
    access = read_access([f"X-Key: Bearer {SECRET}"], cookie_file(tmp_path / "cookies"))
    fetch(release, tmp_path / "to", prefix, access, tries=1)
    assert any(SECRET in head for _, head in server.heads)
    assert {lost.url for lost in ledger_of(tmp_path / "to")} == {
        f"http://127.0.0.1:{server.port}/get?key=…&n=…{name}" for name in ("a.jpg", "good.jpg")
    }
    assert SECRET.encode() not in everything_in(tmp_path / "to")
    assert SECRET not in repr(access) + "".join(capsys.readouterr())


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (SECRET, "a header is not as expected, which is 'Name: value' in one line"),
        (f"X Key: {SECRET}", "a header is not as expected"),
        (f"X-Key: {SECRET}\r\nHost: b", "a header (its name is 'X-Key') is not as expected"),
        ("X-Key:", "a header (its name is 'X-Key') is not as expected"),
        (f"X-Key: {SECRET}é", "the header 'X-Key' has a value with other characters than those of ASCII"),
        (f"Host: {SECRET}", "the header 'Host' cannot be set"),
        (f"accept-encoding: {SECRET}", "the header 'accept-encoding' cannot be set"),
    ],
)
def test_a_header_that_cannot_be_sent_is_refused_without_its_value(header, message):
    with pytest.raises(UsageError, match=re.escape(message)) as caught:
        read_access([header])
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read (No such file or directory); expected a file of cookies"),
        (f'{{"session": "{SECRET}"}}', "is not a file of cookies in Netscape's format"),
        (f"# Netscape HTTP Cookie File\na {SECRET}\n", "is not a file of cookies in Netscape's format"),
        ("# Netscape HTTP Cookie File\n", "holds no cookie that is still valid"),
    ],
)
def test_a_file_of_cookies_that_cannot_be_used_is_refused_without_its_content(content, message, tmp_path):
    if content is not None:
        (tmp_path / "cookies").write_text(content)
    with pytest.raises(UsageError, match=re.escape(message)) as caught:
        read_access(cookies=tmp_path / "cookies")
    assert SECRET not in str(caught.value)


def test_cookies_that_have_all_expired_are_refused(tmp_path):
    with pytest.raises(UsageError, match="no cookie that is still valid"):
        read_access(cookies=cookie_file(tmp_path / "cookies", expires=1))


def test_who_asks_is_said_once(tmp_path):
    release = release_of(["a.jpg"], tmp_path / "release")
    with pytest.raises(UsageError, match="has a user, and there is a header Authorization; leave one of them out"):
        fetch(release, tmp_path / "to", "http://me:pw@a.example/", read_access(["authorization: Bearer x"]))


def test_an_address_with_a_user_of_its_own_gets_no_other_authorization(serve, tmp_path):
    server = serve()
    address = server.prefix.replace("http://", "http://other:word@") + "a.jpg"
    release = release_of([address], tmp_path / "release")
    fetch(release, tmp_path / "to", server.prefix, read_access([f"Authorization: {SECRET}"]))
    (head,) = [head for target, head in server.heads if target.endswith("a.jpg")]
    assert SECRET not in head


def test_headers_need_a_server_that_they_are_for(tmp_path):
    release = release_of(["http://a.example/a.jpg"], tmp_path / "release")
    with pytest.raises(UsageError, match="headers are sent only to the server of the prefix"):
        fetch(release, tmp_path / "to", None, read_access(["X-A: 1"]))


def test_a_proxy_of_the_environment_is_used_and_asked_for_names_it_alone_knows(serve, tmp_path, monkeypatch):
    proxy = serve()
    monkeypatch.setenv("HTTP_PROXY", f"http://me:{SECRET}@127.0.0.1:{proxy.port}")
    release = release_of(["a.jpg"], tmp_path / "release")
    report = fetch(release, tmp_path / "to", "http://inside.invalid/images/", read_access(), private_hosts=frozenset())
    assert report.n_fetched == 2
    assert {target for target, _ in proxy.heads} == {
        f"http://inside.invalid/images/{name}" for name in ("a.jpg", "good.jpg")
    }
    assert all("Proxy-Authorization: Basic " in head for _, head in proxy.heads)
    assert SECRET.encode() not in everything_in(tmp_path / "to")


def test_a_server_in_no_proxy_is_asked_itself(serve, tmp_path, monkeypatch):
    server, proxy = serve(), serve()
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    release = release_of(["a.jpg"], tmp_path / "release")
    assert fetch(release, tmp_path / "to", server.prefix, read_access()).n_fetched == 2
    assert proxy.heads == []


def test_addresses_of_private_networks_are_refused_behind_a_proxy_too(serve, tmp_path, monkeypatch):
    proxy = serve()
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
    release = release_of(["http://169.254.169.254/images/a.jpg"], tmp_path / "release")
    fetch(release, tmp_path / "to", "http://inside.invalid/images/", read_access(), private_hosts=frozenset())
    assert [lost.reason for lost in ledger_of(tmp_path / "to")] == ["private_address"]


def test_a_proxy_that_is_none_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", f"socks5://me:{SECRET}@127.0.0.1:1")
    release = release_of(["a.jpg"], tmp_path / "release")
    with pytest.raises(
        UsageError, match="the proxy that the environment names for http:// is not an address"
    ) as caught:
        fetch(release, tmp_path / "to", "http://a.example/", read_access())
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("prefix", ["{}images", "{}images?key=a", "{}", "{}images/..", "{}images/%C3%A9"])
def test_a_prefix_that_no_name_can_follow_is_refused_before_anything_is_asked_for(prefix, serve, tmp_path):
    server = serve()
    release = release_of(["a.jpg"], tmp_path / "release")
    with pytest.raises(UsageError, match=r"ends in .*, so the image 1\.jpg would be requested at .*1\.jpg; expected"):
        fetch(release, tmp_path / "to", prefix.format(f"http://127.0.0.1:{server.port}/").rstrip("/"), read_access())
    assert server.requests.total() == 0
    assert not (tmp_path / "to").exists()
