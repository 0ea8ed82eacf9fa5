// Evaluates each question on standard input as IAM would. Writes a list of `Allowed`, `ImplicitlyDenied`,
// `ExplicitlyDenied`, or `error: …` if AWS has no such action, resource or condition key.
import { runSimulation } from '@cloud-copilot/iam-simulate'

let text = ''
for await (const chunk of process.stdin) text += chunk
const { principal, policies, boundary, questions } = JSON.parse(text)
const named = (policy, index) => ({ name: `policy-${index}`, policy })

const answers = []
for (const { action, resource, account, context, resourcePolicy } of questions) {
  const simulation = {
    request: { action, principal, resource: { resource, accountId: account }, contextVariables: context },
    identityPolicies: policies.map(named),
    serviceControlPolicies: [],
    resourceControlPolicies: [],
    resourcePolicy: resourcePolicy ?? undefined,
    permissionBoundaryPolicies: boundary ? [named(boundary, 0)] : undefined,
  }
  const answer = await runSimulation(simulation, {})
  const ignored = answer.result?.ignoredContextKeys ?? []
  const wrong = answer.resultType === 'error' ? JSON.stringify(answer.errors) : ignored.join(', ')
  answers.push(wrong ? `error: ${wrong}` : answer.overallResult)
}
process.stdout.write(JSON.stringify(answers))
