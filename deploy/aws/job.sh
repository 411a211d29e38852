#!/usr/bin/env bash
# Run a command of tierd in AWS, where there is no shell: with the network, the settings and the rights of one of the jobs
# of module functions or pki. Prints what the command says, and ends with its exit code.
#
#   NAME=tierd deploy/aws/job.sh shard-apply shard status
#   NAME=tierd deploy/aws/job.sh archive-verify backup status
#   NAME=tierd deploy/aws/job.sh restore-drill              # without a command: the job's own
#
# NAME is the name of the deployment. It needs the AWS CLI, version 2, and AWS_REGION or a profile.
set -euo pipefail

NAME=${NAME:?the name of the deployment, such as NAME=tierd}
job=${1:?a job: shard-apply, archive-verify, archive-prune, restore-drill or pki-renew}
shift
case $job in
  pki-renew) group=/tierd/$NAME/pki ;;
  *) group=/tierd/$NAME/jobs ;;
esac

overrides='{}'
if [[ $# -gt 0 ]]; then
  command=
  for word in "$@"; do
    word=${word//\\/\\\\}
    command+="${command:+,}\"${word//\"/\\\"}\""
  done
  overrides="{\"containerOverrides\":[{\"name\":\"$job\",\"command\":[$command]}]}"
fi

network=$(aws ecs describe-services --cluster "$NAME" --services "$NAME-frontends" \
  --query 'services[0].networkConfiguration' --output json)
task=$(aws ecs run-task --cluster "$NAME" --launch-type FARGATE --task-definition "$NAME-$job" \
  --network-configuration "$network" --overrides "$overrides" --query 'tasks[0].taskArn' --output text)
if [[ -z $task || $task == None ]]; then
  echo "the job could not be started: aws ecs describe-services --cluster $NAME --services $NAME-frontends" >&2
  exit 1
fi
echo "started $task" >&2
# The AWS CLI waits for ten minutes at most: five hours in all.
for ((tries = 0; tries < 30; tries++)); do
  if aws ecs wait tasks-stopped --cluster "$NAME" --tasks "$task"; then break; fi
  echo "it still runs" >&2
done
aws logs get-log-events --start-from-head --log-group-name "$group" --log-stream-name "job/$job/${task##*/}" \
  --query 'events[].[message]' --output text || echo "it has written nothing" >&2
code=$(aws ecs describe-tasks --cluster "$NAME" --tasks "$task" --query 'tasks[0].containers[0].exitCode' --output text)
if [[ $code == None ]]; then
  aws ecs describe-tasks --cluster "$NAME" --tasks "$task" --query 'tasks[0].stoppedReason' --output text >&2
  exit 1
fi
exit "$code"
