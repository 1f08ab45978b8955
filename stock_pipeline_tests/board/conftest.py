"""The fixture of the board comes from support."""

from stock_pipeline_tests.support.board import board

__all__ = ["board"]
