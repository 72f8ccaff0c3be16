"""
Conditions on people's feedback: their language, and the verdict on what was measured.

Data walk one way: ``syntax`` reads a text into a ``tree`` of comparisons; whoever asks LangSmith makes ``figures``;
``verdict`` holds them against the tree, numbers as ``comparing`` says. Pure, and nothing in a condition is evaluated.
"""

from airflow_langsmith.conditions.figures import Figures, Tally
from airflow_langsmith.conditions.syntax import parse
from airflow_langsmith.conditions.tree import Condition
from airflow_langsmith.conditions.verdict import Verdict, judge

__all__ = ["Condition", "Figures", "Tally", "Verdict", "judge", "parse"]
