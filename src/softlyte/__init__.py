"""Softlyte: find soft, cheap solid electrolytes that work below 2 MPa of stack pressure."""

__version__ = "0.1.0"
