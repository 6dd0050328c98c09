"""People of a product, with what each may do in the admin, and a session for each."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from .servers import ROOT

PEOPLE = """
import json, django; django.setup()
from django.contrib.auth import get_user_model, SESSION_KEY, BACKEND_SESSION_KEY, HASH_SESSION_KEY
from django.contrib.auth.models import Permission
from django.contrib.sessions.backends.db import SessionStore
from django.core.management import call_command
call_command("migrate", verbosity=0)
see, act = (Permission.objects.get(codename=f"{name}_console") for name in ("view", "change"))
people = {"boss": [see, act], "leaving": [see, act], "looker": [see], "colleague": [see], "halfway": [act]}
people |= {"clerk": [], "customer": [see]}
keys = {}
for name, permissions in people.items():
    user = get_user_model().objects.create(username=name, is_staff=name != "customer")
    user.user_permissions.set(permissions)
    session = SessionStore()
    session[SESSION_KEY], session[BACKEND_SESSION_KEY] = user.pk, "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    keys[name] = session.session_key
print(json.dumps(keys))
"""


def people(env: dict[str, str], python: Path | str = sys.executable, home: Path = ROOT) -> dict[str, str]:
    """Make the database and its people. Returns their session keys."""
    made = subprocess.run([python, "-c", PEOPLE], cwd=home, env=env, check=True, capture_output=True)
    sessions: dict[str, str] = json.loads(made.stdout)
    return sessions
