mod contract;
mod replay;
