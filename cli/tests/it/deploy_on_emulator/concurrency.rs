//! Concurrent deployments and removals.

use curfew_aws::progress::Silent;
use curfew_deploy::Auth;

use crate::deploy_on_emulator::lab::{Lab, deployment, destroy, stack_resources};

#[tokio::test]
async fn concurrent_deployments_and_removals_succeed() {
    let lab = Lab::open().await;
    let (one, _) = lab.connect().await;
    let (other, _) = lab.connect().await;
    let mut wanted = deployment("demo");
    // First a creation, then an update.
    for _ in 0..2 {
        let (first, second) = tokio::join!(
            curfew_deploy::deploy(&one, &wanted, &Silent),
            curfew_deploy::deploy(&other, &wanted, &Silent)
        );
        assert_eq!(first.unwrap(), second.unwrap());
        wanted.auth = Auth::Token(format!("alice={}", "0f".repeat(32)).parse().unwrap());
    }
    let (first, second) =
        tokio::join!(destroy(&one, &wanted.stack), destroy(&other, &wanted.stack));
    first.unwrap();
    second.unwrap();
    assert!(stack_resources(&one, &wanted.stack).await.is_empty());
    lab.close().await;
}

#[tokio::test]
async fn concurrent_deployments_with_different_parameters_end_with_one_of_them() {
    let lab = Lab::open().await;
    let (one, _) = lab.connect().await;
    let (other, calls) = lab.connect().await;
    let mut wanted = [deployment("demo"), deployment("demo")];
    wanted[1].request_limit = 7;
    let (first, second) = tokio::join!(
        curfew_deploy::deploy(&one, &wanted[0], &Silent),
        curfew_deploy::deploy(&other, &wanted[1], &Silent)
    );
    // Both report the same ids.
    assert_eq!(first.unwrap().api_url, second.unwrap().api_url);
    calls.take();
    curfew_deploy::deploy(&other, &wanted[1], &Silent)
        .await
        .unwrap();
    curfew_deploy::deploy(&other, &wanted[1], &Silent)
        .await
        .unwrap();
    let writing = calls.take_writing();
    assert!(
        writing
            .iter()
            .filter(|call| *call == "cloudformation:ExecuteChangeSet")
            .count()
            <= 1
    );
    lab.close().await;
}
