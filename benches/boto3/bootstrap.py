"""The minimum of Curfew's `GET /status` in boto3: configuration from SSM, instances from EC2, a JSON response.

It evaluates no time zones, schedules or edges. The loop below replaces Lambda's own runtime client, and is leaner.
"""

import hashlib
import hmac
import http.client
import json
import os
import time

import boto3

CONFIGURATION_FOR_SECONDS = 60

ssm = boto3.client("ssm")
ec2 = boto3.client("ec2")
configuration = None
configuration_read_at = 0.0


def read_configuration():
    global configuration, configuration_read_at
    if configuration is None or time.monotonic() - configuration_read_at > CONFIGURATION_FOR_SECONDS:
        answer = ssm.get_parameter(Name=os.environ["CURFEW_CONFIGURATION_PARAMETER"])
        configuration = json.loads(answer["Parameter"]["Value"])
        configuration_read_at = time.monotonic()
    return configuration


def observe():
    alive = ["pending", "running", "stopping", "stopped"]
    pages = ec2.get_paginator("describe_instances").paginate(
        Filters=[{"Name": "instance-state-name", "Values": alive}]
    )
    for page in pages:
        for reservation in page["Reservations"]:
            yield from reservation["Instances"]


def status():
    schedules = read_configuration()["schedules"]
    instances = []
    for instance in observe():
        tags = {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}
        schedule = tags.get("Schedule")
        instances.append({
            "id": instance["InstanceId"],
            "name": tags.get("Name"),
            "state": instance["State"]["Name"],
            "schedule": schedule if schedule in schedules else None,
            "last": tags.get("curfew:last"),
        })
    return {"instances": instances}


def admitted(event):
    headers = {name.lower(): value for name, value in event["headers"].items()}
    token = headers.get("authorization", "").removeprefix("Bearer ")
    given = hashlib.sha256(token.encode()).hexdigest()
    digests = [one.partition("=")[2] for one in os.environ["CURFEW_TOKENS"].split(",")]
    return any(hmac.compare_digest(given, digest) for digest in digests)


def handle(event):
    if not admitted(event):
        code, answer = 401, {"error": {"code": "unauthorized"}}
    elif (event["httpMethod"], event["path"]) == ("GET", "/status"):
        code, answer = 200, status()
    else:
        code, answer = 404, {"error": {"code": "not_found"}}
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    return {"statusCode": code, "headers": headers, "body": json.dumps(answer)}


def main():
    runtime = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    while True:
        runtime.request("GET", "/2018-06-01/runtime/invocation/next")
        response = runtime.getresponse()
        event = json.loads(response.read())
        request_id = response.headers["Lambda-Runtime-Aws-Request-Id"]
        answer = json.dumps(handle(event))
        runtime.request("POST", f"/2018-06-01/runtime/invocation/{request_id}/response", answer)
        runtime.getresponse().read()


main()
