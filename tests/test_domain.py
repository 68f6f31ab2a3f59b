import pytest
from hypothesis import given
from hypothesis import strategies as st

from rope.domain import (
    CONFIG_OF,
    CROSS_DOMAIN_PAIRS,
    DOMAINS,
    Pair,
    all_pairs,
    config_of,
    cross_domain_pairs,
    domain_of_config,
    domain_problem,
    in_order,
    pair_of,
)

NAMES = st.text("abcdefghijklmnopqrstuvwxyz", min_size=2, max_size=32).filter(lambda name: domain_problem(name) is None)


def test_the_six_pairs_are_in_the_published_order():
    assert [pair.name for pair in CROSS_DOMAIN_PAIRS] == ["P2V", "V2P", "P2L", "L2P", "V2L", "L2V"]
    assert [pair.name for pair in all_pairs(DOMAINS)][6:] == ["P2P", "V2V", "L2L"]
    assert {domain: config_of(domain) for domain in DOMAINS} == CONFIG_OF


@given(st.sets(NAMES | st.sampled_from(DOMAINS)))
def test_every_two_domains_make_two_pairs_and_a_further_one_adds_its_own_at_the_end(domains):
    pairs = cross_domain_pairs(domains)
    assert len(pairs) == len(set(pairs)) == len(domains) * (len(domains) - 1)
    assert {(pair.query, pair.gallery) for pair in pairs} == {(a, b) for a in domains for b in domains if a != b}
    assert all(after == before.reverse for before, after in zip(pairs[::2], pairs[1::2], strict=True))
    assert cross_domain_pairs({*domains, *DOMAINS})[:6] == CROSS_DOMAIN_PAIRS
    assert in_order([*domains, *DOMAINS])[:3] == DOMAINS


@given(NAMES | st.sampled_from(DOMAINS), NAMES | st.sampled_from(DOMAINS))
def test_a_pair_and_a_folder_give_back_the_domains_that_they_are_of(query, gallery):
    assert pair_of(Pair(query, gallery).name) == Pair(query, gallery)
    assert domain_of_config(config_of(query)) == query


@pytest.mark.parametrize("name", ["P2", "2V", "P2V2L", "p2V", "page2V", "P2reviews", "P2product", "P-V", ""])
def test_what_names_no_pair_is_refused(name):
    with pytest.raises(ValueError, match="is not a pair of domains, such as P2V"):
        pair_of(name)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("review", None),
        ("live", None),
        ("r", "is not a domain name; expected 2 to 32 lower-case letters"),
        ("Review", "is not a domain name"),
        ("user_review", "is not a domain name"),
        ("web2", "is not a domain name"),
        ("评论", "is not a domain name"),
        ("review\n", "is not a domain name"),
        ("a" * 33, "is not a domain name"),
        ("reviews", "ends in s, which is what a folder adds"),
        ("product", "is reserved"),
        ("aligned", "is reserved"),
        ("image", "is reserved"),
        ("query", "is reserved"),
        ("mixed", "is reserved"),
    ],
)
def test_names_of_domains(name, problem):
    found = domain_problem(name)
    assert found is None if problem is None else problem in (found or "")
