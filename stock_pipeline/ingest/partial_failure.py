"""Objects ingested together, of which one that breaks the ingest fails alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from stock_pipeline.errors import StockPipelineError
from stock_pipeline.receipts import Receipt

Ingest = Callable[[Sequence[str]], list[Receipt]]


def ingest_each(keys: Sequence[str], ingest: Ingest) -> tuple[list[Receipt], dict[str, str]]:
    """The receipts of objects ingested together, and why each of the others is not done.

    An object that is gone is not done. When something about one of the objects breaks the ingest of them all, they are
    tried one by one, so that it fails alone. What would fail for all of them alike (no store, no permission, lost
    races) is raised, as is the error when none could be ingested.
    """
    failed: dict[str, str] = {}
    try:
        receipts = ingest(keys)
    except StockPipelineError:
        raise
    except Exception as error:
        receipts, failed = _one_by_one(keys, ingest)
        if len(failed) == len(keys):
            raise error
    gone = {receipt.source: receipt.refused or "it does not exist" for receipt in receipts if not receipt.etag}
    return [receipt for receipt in receipts if receipt.etag], failed | gone


def _one_by_one(keys: Sequence[str], ingest: Ingest) -> tuple[list[Receipt], dict[str, str]]:
    receipts: list[Receipt] = []
    failed: dict[str, str] = {}
    for key in keys:
        try:
            receipts += ingest([key])
        except StockPipelineError:
            raise
        except Exception as error:
            failed[key] = f"{type(error).__name__} while it was ingested"  # its message may hold what stood in a row
    return receipts, failed
