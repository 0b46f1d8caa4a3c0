"""The plan of a study: what each cell is and costs, before anything runs; and the budget that it must keep."""

from archscale.plan.budget import Standing, check_budget
from archscale.plan.cells import plan, plan_json
from archscale.plan.matching import matching
from archscale.plan.recount import recount, setting_of
from archscale.plan.rows import Plan, PlannedRun
from archscale.plan.tables import plan_table, plan_tables, short_scientific, speed_lines

__all__ = [
    "Plan",
    "PlannedRun",
    "Standing",
    "check_budget",
    "matching",
    "plan",
    "plan_json",
    "plan_table",
    "plan_tables",
    "recount",
    "setting_of",
    "short_scientific",
    "speed_lines",
]
