"""What scikit-learn keeps private and this library needs; tested with scikit-learn 1.7 to 1.9."""

from sklearn.base import _fit_context
from sklearn.model_selection._search import BaseSearchCV
from sklearn.model_selection._split import GroupsConsumerMixin
from sklearn.tree._tree import Tree
from sklearn.utils import _safe_indexing
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import _check_method_params, _check_sample_weight

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:  # scikit-learn below 1.9

    class CallbackSupportMixin:
        """Stand-in where scikit-learn has no callbacks yet: there is nobody to report to."""

        def _init_callback_context(self, **_):
            return NoCallbackContext()


class NoCallbackContext:
    """Stand-in for the context of a fit where scikit-learn has no callbacks yet."""

    def subcontext(self, **_):
        return self

    def call_on_fit_task_begin(self, **_):
        return self

    def call_on_fit_task_end(self, **_):
        return False


__all__ = [
    "BaseSearchCV",
    "CallbackSupportMixin",
    "GroupsConsumerMixin",
    "HasMethods",
    "Interval",
    "NoCallbackContext",
    "StrOptions",
    "Tree",
    "_check_method_params",
    "_check_sample_weight",
    "_fit_context",
    "_safe_indexing",
]
