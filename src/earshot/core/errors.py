"""The base of every error that is meant for the user."""


class EarshotError(Exception):
    """Something the user can put right. The message names the value and the remedy, and is shown without a traceback.

    Each package derives its own (``DatasetError``, ``AuditError``, ...). Anything else that is raised is a defect and
    keeps its traceback.
    """
