"""Who is told of failed runs: a notification block of the user's, by an automation."""

from datetime import timedelta
from uuid import UUID

from prefect.automations import AutomationCore, EventTrigger, Posture, SendNotification
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound

NAME = "patchflow: failed runs"
_EVENTS = {"prefect.flow-run.Failed", "prefect.flow-run.Crashed", "prefect.flow-run.TimedOut"}
_SUBJECT = "patchflow: {{ flow.name }} {{ flow_run.state.name }}"
_BODY = """{{ flow_run.name }} of flow {{ flow.name }} ended as {{ flow_run.state.name }}.
{{ flow_run.state.message }}
{{ flow_run|ui_url }}"""


def notify_of_failures(block: str) -> str:
    """Make (or replace) the automation that sends every failed run of a deployment to `block`.

    Args:
        block: TYPE/NAME of a notification block that exists, e.g. slack-webhook/team. Its URL
            is a secret and stays in the block.

    Returns:
        The automation's id.

    Raises:
        ValueError: no such block.
    """
    slug, _, name = block.partition("/")
    with get_client(sync_client=True) as client:
        try:
            found = client.read_block_document_by_name(name, slug, include_secrets=False)
        except ObjectNotFound as error:
            raise ValueError(
                f"no block {block!r}: give TYPE/NAME of a notification block, e.g. "
                "slack-webhook/team, made under Blocks in the Prefect UI"
            ) from error
        for earlier in client.read_automations_by_name(NAME):
            client.delete_automation(earlier.id)
        return str(client.create_automation(_automation(found.id)))


def _automation(block_id: UUID) -> AutomationCore:
    trigger = EventTrigger(
        expect=_EVENTS,
        match={"prefect.resource.id": "prefect.flow-run.*"},
        # A subflow's failure is told by its parent.
        match_related={
            "prefect.resource.role": "deployment",
            "prefect.resource.id": "prefect.deployment.*",
        },
        posture=Posture.Reactive,
        threshold=1,
        within=timedelta(0),
    )
    send = SendNotification(block_document_id=block_id, subject=_SUBJECT, body=_BODY)
    return AutomationCore(name=NAME, trigger=trigger, actions=[send])
