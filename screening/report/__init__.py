"""The report of a screening: one HTML file that opens anywhere, without a network."""

from softlyte.screening.report.page import write_report as write_report
from softlyte.screening.run_record import REPORT_FILE as REPORT_FILE
