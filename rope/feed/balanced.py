"""Every product once an epoch, regardless of its size, with one sample of each domain."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch.utils.data import Dataset

from rope.config import Count, Seed, check_value
from rope.dataset.locate import as_directory
from rope.dataset.manifest import read_manifest
from rope.dataset.sample_table import SampleTable
from rope.domain import DOMAINS, DomainName, Split
from rope.errors import DatasetError, UsageError
from rope.feed.clips import OnDamaged, SampleReader, asks_for_sound, check_choices
from rope.feed.order import hash64, shuffled
from rope.feed.products import read_product_rows
from rope.feed.records import Clip, ProductBatch, ProductSamples, collate_products
from rope.feed.share import ProcessShare, count_steps, plan_steps
from rope.files import Address

__all__ = ["BalancedProducts", "Draw"]


@dataclass(frozen=True, slots=True)
class Draw:
    """What one place of an epoch's order asks for: the key of the map-style dataset.

    Attributes:
        epoch: from 0.
        product: number of the product.
        stand_in: number of the product that is used instead where no sample of a domain can be decoded.
    """

    epoch: int
    product: int
    stand_in: int


class BalancedProducts(Dataset[ProductSamples]):
    """A map-style dataset of products, and the order in which to visit them.

    An epoch visits every product once, in an order drawn from (seed, epoch). What is drawn of a product depends on
    (seed, epoch, product) and on nothing else: not on the other products, the rank, the batch size or the worker. All
    ranks together take consecutive places of the order in a step, so that an epoch can be continued with another batch
    size or number of ranks.

    Args:
        directory: a dataset directory.
        split: the split to read.
        reader: how samples are decoded.
        seed: of the order and of what is drawn.
        batch_size: products a step for each rank.
        share: which rank this is, of how many.
        domains: one sample of each of these a product; products that lack one are left out.
        drop_last: whether the last products of an epoch that make no full step are dropped, or make smaller batches;
            see `plan_steps`.
        on_damaged: with `skip`, the place of a sample that cannot be decoded is taken by the next of the same product
            and domain, the first following the last; where all are damaged, by the product that stands half an epoch
            further on.

    Attributes:
        product_ids: of the products that are visited, in canonical order.
        seed: as given.
        left_out: ids of the products that lack a domain.

    Raises:
        UsageError: the batch size is below 1, no domain is given, the dataset has no such split or domain, or there
            are too few products for one step.
        DatasetError: the dataset cannot be read, or no product has samples in all domains.
    """

    def __init__(
        self,
        directory: Address,
        split: Split,
        *,
        reader: SampleReader,
        seed: int,
        batch_size: int,
        share: ProcessShare = ProcessShare(),  # noqa: B008 -- frozen
        domains: Sequence[DomainName] = DOMAINS,
        drop_last: bool = False,
        on_damaged: OnDamaged = "raise",
    ) -> None:
        folder = as_directory(directory)
        check_choices(folder, split, domains, on_damaged)
        if not domains:
            raise UsageError("domains is empty; expected at least one")
        self.seed: int = check_value(Seed, seed, "seed")
        self._batch_size: int = check_value(Count, batch_size, "batch_size")
        self._products = read_product_rows(folder, split, domains)
        self._share = share
        self._drop_last = drop_last
        if self.steps_per_epoch == 0:
            raise UsageError(
                f"{directory}: {len(self)} products do not make one step of {batch_size} for each of "
                f"{share.world_size} ranks; choose a smaller batch size, or keep the last"
            )
        sound = asks_for_sound(reader)
        self._tables = {domain: SampleTable(folder, domain, split, has_sound=sound) for domain in domains}
        self._reader = reader
        self._on_damaged = on_damaged
        self.product_ids = self._products.product_ids
        self.left_out = self._products.left_out
        self.identity: dict[str, str | int] = {
            "dataset": read_manifest(folder).fingerprint,
            "split": split,
            "domains": " ".join(domains),
            "seed": self.seed,
        }

    def __len__(self) -> int:
        """How many products an epoch has."""
        return len(self._products.product_ids)

    def n_samples(self, product: int) -> int:
        """How many samples a product has, in all requested domains."""
        return sum(len(self._products.of(product, domain)) for domain in self._tables)

    @property
    def steps_per_epoch(self) -> int:
        """How many batches each rank gets in an epoch."""
        return count_steps(len(self), self._batch_size, self._share, drop_last=self._drop_last)

    def steps(self, epoch: int, position: int) -> Iterator[tuple[list[Draw], int]]:
        """What this rank draws, batch by batch, from a place of the epoch's order on.

        Args:
            epoch: from 0.
            position: how many places all ranks together have gone through.

        Yields:
            The draws of a batch, and the position after it.
        """
        order = shuffled("order", self.seed, epoch, self._products.product_ids)
        n = len(order)
        for step in plan_steps(n, position, self._batch_size, self._share, drop_last=self._drop_last):
            draws = [Draw(epoch, int(order[place]), int(order[(place + n // 2) % n])) for place in step.places]
            yield draws, step.end

    def __getitem__(self, draw: Draw) -> ProductSamples:
        """Draw and decode one sample of each domain of a product.

        Raises:
            DatasetError: a sample cannot be decoded; with `skip`, none of a domain of this product can be, and none of
                the product in its place.
        """
        damaged: list[str] = []
        for product in (draw.product, draw.stand_in):
            clips: dict[DomainName, Clip] = {}
            for domain in self._tables:
                clip = self._first_readable(draw.epoch, product, domain, damaged)
                if clip is None:
                    break
                clips[domain] = clip
            else:
                return ProductSamples(self._products.product_ids[product], clips, damaged)
        names = [self._products.product_ids[product] for product in (draw.product, draw.stand_in)]
        raise DatasetError(f"product {names[0]}, and {names[1]} in its place: no usable sample; {'; '.join(damaged)}")

    def collate(self, items: list[ProductSamples]) -> ProductBatch:
        """See `collate_products`."""
        return collate_products(items)

    def _first_readable(self, epoch: int, product: int, domain: DomainName, damaged: list[str]) -> Clip | None:
        """The sample drawn, or the first after it that can be decoded; None where there is none."""
        rows = self._products.of(product, domain)
        first = hash64(f"draw-{domain}", self.seed, epoch, self._products.product_ids[product]) % len(rows)
        for i in range(len(rows)):
            row = int(rows[(first + i) % len(rows)])
            try:
                sample = self._tables[domain].sample(row, self._reader.wanted(domain))
                return self._reader.read(sample, self.seed, epoch)
            except DatasetError as error:
                if self._on_damaged == "raise":
                    raise
                damaged.append(str(error))
        return None
