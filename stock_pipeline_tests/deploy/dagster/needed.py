"""What each role of the Dagster that stays takes, and no more. docs/operations.md has the same as a table.

What Dagster does with the pipeline is in its managed policies; here is what its place takes.
"""

from __future__ import annotations

from collections.abc import Mapping

Needed = set[tuple[str, str]]

IN_REGION = "arn:${AWS::Partition}:%s:${AWS::Region}:${AWS::AccountId}:%s"
TASKS = IN_REGION % ("ecs", "task/${Cluster}/*")
SNAPSHOTS = "arn:${AWS::Partition}:ec2:${AWS::Region}::snapshot/*"
VOLUME = IN_REGION % ("ec2", "volume/${History}")
SESSION = tuple(f"ssmmessages:{end}{kind}Channel" for end in ("Create", "Open") for kind in ("Control", "Data"))


def _on(resource: str, *actions: str) -> Needed:
    return {(action, resource) for action in actions}


_LOGS_OF_RUNS = _on("RunLogs", "s3:ListBucket") | _on("${RunLogs.Arn}/logs/*", "s3:GetObject", "s3:PutObject")

NEEDED: Mapping[str, Mapping[str, Needed]] = {
    "ecs": {
        "ExecutionRole": _on("*", "ecr:GetAuthorizationToken")
        | _on(
            IN_REGION % ("ecr", "repository/${Repository}"),
            "ecr:BatchCheckLayerAvailability",
            "ecr:BatchGetImage",
            "ecr:GetDownloadUrlForLayer",
        )
        | _on("History.MasterUserSecret.SecretArn", "secretsmanager:GetSecretValue")
        | _on("SlackWebhookSecret", "secretsmanager:GetSecretValue")
        | _on("Log", "logs:CreateLogStream", "logs:PutLogEvents")
        | _on("RunLog", "logs:CreateLogStream", "logs:PutLogEvents"),
        "TaskRole": _on(IN_REGION % ("ecs", "task-definition/stock-pipeline-${Stage}-dagster-run:*"), "ecs:RunTask")
        | _on(TASKS, "ecs:DescribeTasks", "ecs:StopTask", "ecs:TagResource")
        | _on("*", "ecs:DescribeTaskDefinition", *SESSION)
        | _on("RunRole", "iam:PassRole")
        | _on("ExecutionRole", "iam:PassRole")
        | _on("RunLog", "logs:GetLogEvents")
        | _on("Alarms", "sns:Publish")
        | _LOGS_OF_RUNS,
        "RunRole": _LOGS_OF_RUNS,
    },
    "small": {
        "MachineRole": _on("arn:${AWS::Partition}:s3:::${PackageBucket}/${PackageKey}", "s3:GetObject")
        | _on(VOLUME, "ec2:AttachVolume")
        | _on(IN_REGION % ("ec2", "instance/*"), "ec2:AttachVolume")
        | _on("Alarms", "sns:Publish")
        | _on("*", "cloudwatch:PutMetricData", "ssm:UpdateInstanceInformation", *SESSION),
        "SnapshotRole": _on("*", "ec2:DescribeSnapshots", "ec2:DescribeVolumes")
        | _on(VOLUME, "ec2:CreateSnapshot")
        | _on(SNAPSHOTS, "ec2:CreateSnapshot", "ec2:CreateTags", "ec2:DeleteSnapshot"),
    },
}
"""By the form and the role: actions and the resource as the template writes it."""

WITH_THE_PIPELINE = {"TaskRole", "RunRole", "MachineRole"}
"""The roles that have the managed policies of the pipeline's stack."""

BOUND: Mapping[tuple[str, str], str] = {
    ("TaskRole", "ecs:RunTask"): "ecs:cluster",
    ("TaskRole", "ecs:TagResource"): "ecs:CreateAction",
    ("TaskRole", "iam:PassRole"): "iam:PassedToService",
    ("MachineRole", "cloudwatch:PutMetricData"): "cloudwatch:namespace",
    ("SnapshotRole", "ec2:CreateTags"): "ec2:CreateAction",
    ("SnapshotRole", "ec2:DeleteSnapshot"): "aws:ResourceTag/stock-pipeline-history",
}
"""The condition that bounds an action whose resource is wider than what it is for."""
