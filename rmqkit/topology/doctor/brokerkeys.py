"""Every key of broker.conf that RocketMQ has a setter for, with its type and the releases that know it.

What belongs here: the table, taken from the sources of three releases (BrokerConfig, BrokerIdentity,
MessageStoreConfig, NettyServerConfig, NettyClientConfig, AuthConfig), and how it is asked. What does not: checks.
A key without a setter is skipped without a word, and so is a value that does not parse
(MixAll.properties2Object swallows both).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

RELEASES: Final = ("4.5.1", "4.9.8", "5.3.2")


class Kind(StrEnum):
    """What a value has to be."""

    WHOLE = "whole number"
    DECIMAL = "number"
    FLAG = "true or false"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Key:
    """One key: what its value has to be, and which of :data:`RELEASES` know it."""

    name: str
    kind: Kind
    releases: tuple[str, ...]


def nearest_release(edition: str) -> str | None:
    """The release of the table whose keys an edition has; None where it cannot be told.

    The default branch is the line of 4.5.1. Between two releases the lower one is taken only where the first two
    numbers agree: keys come with minor versions.
    """
    if edition == "store_with_dledger":
        return "4.5.1"
    line = edition.split(".")[:2]
    return next((release for release in RELEASES if release.split(".")[:2] == line), None)


_TABLE: Final[tuple[tuple[Kind, tuple[str, ...], str], ...]] = (
    (
        Kind.WHOLE,
        ("4.5.1",),
        """
        mapedFileSizeCommitLog mapedFileSizeConsumeQueue
        """,
    ),
    (
        Kind.FLAG,
        ("4.5.1", "4.9.8"),
        """
        commercialEnable
        """,
    ),
    (
        Kind.WHOLE,
        ("4.5.1", "4.9.8"),
        """
        commercialBigCount commercialTimerCount commercialTransCount filterServerNums haSlaveFallbehindMax
        maxDelayTime
        """,
    ),
    (
        Kind.FLAG,
        RELEASES,
        """
        aclEnable autoCreateSubscriptionGroup autoCreateTopicEnable brokerFastFailureEnable brokerTopicEnable
        checkCRCOnRecover cleanFileForciblyEnable clientCloseSocketIfTimeout clientPooledByteBufAllocatorEnable
        clusterTopicEnable compressedRegister debugLockEnable disableConsumeIfConsumerReadSlowly diskFallRecorded
        duplicationEnable enableCalcFilterBitMap enableConsumeQueueExt enableDLegerCommitLog enablePropertyFilter
        fastFailIfNoBufferInStorePool fetchNamesrvAddrByAddressServer filterSupportRetry flushCommitLogTimed
        forceRegister highSpeedMode longPollingEnable messageIndexEnable messageIndexSafe
        notifyConsumerIdsChangedEnable offsetCheckInSlave rejectTransactionMessage
        serverPooledByteBufAllocatorEnable slaveReadEnable traceOn traceTopicEnable transferMsgByHeap
        transientStorePoolEnable useEpollNativeSelector useReentrantLockWhenPutMessage useTLS warmMapedFileEnable
        """,
    ),
    (
        Kind.TEXT,
        RELEASES,
        """
        brokerClusterName brokerIP1 brokerIP2 brokerName brokerRole dLegerGroup dLegerPeers dLegerSelfId
        deleteWhen flushDiskType haMasterAddress messageDelayLevel messageStorePlugIn msgTraceTopicName
        namesrvAddr regionId rocketmqHome storePathCommitLog storePathRootDir
        """,
    ),
    (
        Kind.WHOLE,
        RELEASES,
        """
        accessMessageInMemoryMaxRatio adminBrokerThreadPoolNums bitMapLengthConsumeQueueExt brokerId
        brokerPermission channelNotActiveInterval cleanResourceInterval clientAsyncSemaphoreValue
        clientCallbackExecutorThreads clientChannelMaxIdleTimeSeconds clientManageThreadPoolNums
        clientManagerThreadPoolQueueCapacity clientOnewaySemaphoreValue clientSocketRcvBufSize
        clientSocketSndBufSize clientWorkerThreads commercialBaseCount commitCommitLogLeastPages
        commitCommitLogThoroughInterval commitIntervalCommitLog connectTimeoutMillis consumerFallbehindThreshold
        consumerManageThreadPoolNums consumerManagerThreadPoolQueueCapacity defaultQueryMaxNum
        defaultTopicQueueNums deleteCommitLogFilesInterval deleteConsumeQueueFilesInterval
        destroyMapedFileIntervalForcibly diskMaxUsedSpaceRatio endTransactionPoolQueueCapacity
        endTransactionThreadPoolNums expectConsumerNumUseFilter fileReservedTime filterDataCleanTimeSpan
        flushCommitLogLeastPages flushCommitLogThoroughInterval flushConsumeQueueLeastPages
        flushConsumeQueueThoroughInterval flushConsumerOffsetHistoryInterval flushConsumerOffsetInterval
        flushDelayOffsetInterval flushIntervalCommitLog flushIntervalConsumeQueue flushLeastPagesWhenWarmMapedFile
        haHousekeepingInterval haListenPort haSendHeartbeatInterval haTransferBatchSize heartbeatThreadPoolNums
        heartbeatThreadPoolQueueCapacity listenPort mappedFileSizeConsumeQueueExt maxErrorRateOfBloomFilter
        maxHashSlotNum maxIndexNum maxMessageSize maxMsgsNumBatch maxTransferBytesOnMessageInDisk
        maxTransferBytesOnMessageInMemory maxTransferCountOnMessageInDisk maxTransferCountOnMessageInMemory
        osPageCacheBusyTimeOutMills pullMessageThreadPoolNums pullThreadPoolQueueCapacity putMsgIndexHightWater
        queryMessageThreadPoolNums queryThreadPoolQueueCapacity redeleteHangedFileInterval
        registerBrokerTimeoutMills registerNameServerPeriod sendMessageThreadPoolNums sendThreadPoolQueueCapacity
        serverAsyncSemaphoreValue serverCallbackExecutorThreads serverChannelMaxIdleTimeSeconds
        serverOnewaySemaphoreValue serverSelectorThreads serverSocketRcvBufSize serverSocketSndBufSize
        serverWorkerThreads shortPollingTimeMills startAcceptSendRequestTimeStamp syncFlushTimeout
        transactionCheckInterval transactionCheckMax transactionTimeOut transientStorePoolSize
        waitTimeMillsInHeartbeatQueue waitTimeMillsInPullQueue waitTimeMillsInSendQueue
        waitTimeMillsInTransactionQueue
        """,
    ),
    (
        Kind.FLAG,
        ("4.9.8", "5.3.2"),
        """
        autoDeleteUnusedStats enableBatchPush enableDetailStat enableLmq enableMultiDispatch
        enableScheduleAsyncDeliver enableScheduleMessageStats isolateLogEnable storeReplyMessageEnable
        """,
    ),
    (
        Kind.TEXT,
        ("4.9.8", "5.3.2"),
        """
        configBlackList preferredLeaderId readOnlyCommitLogStorePaths storePathDLedgerCommitLog
        """,
    ),
    (
        Kind.WHOLE,
        ("4.9.8", "5.3.2"),
        """
        mappedFileSizeCommitLog mappedFileSizeConsumeQueue maxLmqConsumeQueueNum processReplyMessageThreadPoolNums
        putMessageFutureThreadPoolNums putThreadPoolQueueCapacity replyThreadPoolQueueCapacity
        scheduleAsyncDeliverMaxPendingLimit scheduleAsyncDeliverMaxResendNum2Blocked serverSocketBacklog
        slaveTimeout writeBufferHighWaterMark writeBufferLowWaterMark
        """,
    ),
    (
        Kind.DECIMAL,
        ("5.3.2",),
        """
        logicalDiskSpaceCleanForciblyThreshold readAheadCacheSizeThresholdRate
        """,
    ),
    (
        Kind.FLAG,
        ("5.3.2",),
        """
        accountStatsEnable accountStatsPrintZeroValues allAckInSyncStateSet allowRecallWhenBrokerNotWriteable
        appendAckAsync appendCkAsync asyncLearner asyncSendEnable authenticationEnabled authorizationEnabled
        autoMessageVersionOnTopicLen clearRetryTopicWhenDeleteTopic coldCtrStrategyEnable
        coldDataFlowControlEnable coldDataScanEnable compatibleWithOldNameSrv dataReadAheadEnable
        disableCallbackExecutor disableNettyWorkerGroup dispatchFromSenderThread enableAsyncReput
        enableAutoInSyncReplicas enableBroadcastOffsetStore enableBuildConsumeQueueConcurrently
        enableCleanExpiredOffset enableCompaction enableControllerMode enableLmqStats enableMixedMessageType
        enableNetWorkFlowControl enableNotifyAfterPopOrderLockRelease enableNotifyBeforePopCalculateLag
        enablePopBatchAck enablePopBufferMerge enablePopLog enablePopMessageThreshold enableReconnectForGoAway
        enableRemoteEscape enableRetryTopicV2 enableRocksDBLog enableShutdownGracefully enableSingleTopicRegister
        enableSkipLongAwaitingAck enableSlaveActingMaster enableSplitRegistration enabledAppendPropCRC
        estimateAccumulation fetchControllerAddrByDnsLookup fetchNameSrvAddrByDnsLookup forceVerifyPropCRC
        haFlowControlEnable inBrokerContainer initPopOffsetByCheckMsgInMem litePullMessageEnable lockInStrictMode
        mappedFileSwapEnable metricsInDelta migrateAuthFromV1Enabled popConsumerFSServiceInit
        popConsumerKVServiceEnable popConsumerKVServiceInit popConsumerKVServiceLog
        popResponseReturnActualRetryTopic putConsumeQueueDataByFileChannel readAheadCacheEnable readUnCommitted
        realTimeNotifyConsumerChange realTimePersistRocksDBConfig recallMessageEnable recheckReputOffsetFromCq
        recordGetMessageResult recoverConcurrently rejectPullConsumerEnable retrieveMessageFromPopRetryTopicV1
        rocksdbCQDoubleWriteEnable scanAvailableNameSrv searchBcqByCacheEnable serverLoadBalancerEnable
        serverNettyWorkerGroupEnable skipPreOnline skipWhenCKRePutReachMaxTimes syncFromLastFile
        syncMasterFlushOffsetWhenStartup tieredStoreCrcCheckEnable tieredStoreDeleteFileEnable
        tieredStoreGroupCommit timerEnableCheckMetrics timerEnableRetryUntilSuccess timerInterceptDelayLevel
        timerSkipUnknownError timerStopEnqueue timerWheelEnable useABSLock usePIDColdCtrStrategy
        useServerSideResetOffset useStaticSubscription validateSystemTopicWhenUpdateTopic wakeCommitWhenPutMessage
        wakeFlushWhenPutMessage
        """,
    ),
    (
        Kind.TEXT,
        ("5.3.2",),
        """
        authConfigPath authenticationMetadataProvider authenticationProvider authenticationStrategy
        authenticationWhitelist authorizationMetadataProvider authorizationProvider authorizationStrategy
        authorizationWhitelist bindAddress bottomMostCompressionTypeForConsumeQueueStore brokerConfigPath
        clusterName configManagerVersion configName controllerAddr defaultMessageRequestMode
        initAuthenticationUser innerClientAuthenticationCredentials metricsExporterType metricsGrpcExporterHeader
        metricsGrpcExporterTarget metricsLabel metricsPromExporterHost objectStoreAccessKey objectStoreBucket
        objectStoreEndpoint objectStoreSecretKey rocksdbCompressionType socksProxyConfig storePathBrokerIdentity
        storePathEpochFile storeType tieredBackendServiceProvider tieredMetadataServiceProvider tieredStorageLevel
        tieredStoreFilePath
        """,
    ),
    (
        Kind.WHOLE,
        ("5.3.2",),
        """
        accessMessageInMemoryHotRatio ackMessageThreadPoolNums ackThreadPoolQueueCapacity aclCacheExpiredSecond
        aclCacheMaxNum aclCacheRefreshSecond adminBrokerThreadPoolQueueCapacity batchDispatchRequestThreadPoolNums
        broadcastOffsetExpireMaxSecond broadcastOffsetExpireSecond brokerElectionPriority brokerHeartbeatInterval
        brokerNotActiveTimeoutMillis cgColdReadThreshold channelExpiredTimeout checkSyncStateSetPeriod
        cleanOfflineBrokerInterval cleanRocksDBDirtyCQIntervalMin cleanSwapedMapInterval commercialSizePerMsg
        commitLogForceSwapMapInterval commitLogRollingInterval commitLogRollingMinimumSize
        commitLogSwapMapInterval commitLogSwapMapReserveFileNum compactionCqMappedFileSize
        compactionMappedFileSize compactionScheduleInternal compactionThreadNum consumerOffsetUpdateVersionStep
        controllerHeartBeatTimeoutMills correctLogicMinOffsetForceInterval correctLogicMinOffsetSleepInterval
        defaultPopShareQueueNum delayOffsetUpdateVersionStep deleteFileBatchMax disappearTimeAfterStart
        diskSpaceCleanForciblyRatio diskSpaceWarningLevelRatio dispatchCqCacheNum dispatchCqThreads
        fetchNamesrvAddrInterval forwardTimeout globalColdReadThreshold haMaxGapNotInSync haMaxTimeSlaveNotCatchup
        inSyncReplicas litePullMessageThreadPoolNums litePullThreadPoolQueueCapacity
        loadBalancePollNameServerInterval loadBalanceProcessorThreadPoolNums loadBalanceThreadPoolQueueCapacity
        logicQueueForceSwapMapInterval logicQueueSwapMapInterval logicQueueSwapMapReserveFileNum
        mappedFileSizeTimerLog mapperFileSizeBatchConsumeQueue maxAsyncPutMessageRequests maxBatchDeleteFilesNum
        maxChecksumRange maxConsumeQueueScan maxFilterMessageSize maxHaTransferByteInSecond maxOffsetMapSize
        maxPopPollingSize maxReconnectIntervalTimeSeconds maxRecoveryCommitlogFiles maxSlaveResendLength
        maxTopicLength memTableFlushIntervalMs metricGrpcExporterIntervalInMills metricGrpcExporterTimeOutInMills
        metricLoggingExporterIntervalInMills metricsOtelCardinalityLimit metricsPromExporterPort minInSyncReplicas
        popCkMaxBufferSize popCkOffsetMaxQueueSize popCkStayBufferTime popCkStayBufferTimeOut
        popFromRetryProbability popInflightMessageThreshold popLongPollingForceNotifyInterval popPollingMapSize
        popPollingSize popReviveMaxAttemptTimes popReviveMaxReturnSizePerRead pullBatchMaxMessageCount
        putMessageTimeout readAheadCacheExpireDuration readAheadMessageCountThreshold
        readAheadMessageSizeThreshold recoverThreadPoolNums replicasPerDiskPartition reviveAckWaitMs
        reviveInterval reviveMaxSlow reviveQueueNum reviveScanTime rocksdbFlushWalFrequency
        rocksdbWalFileRollingThreshold sampleCountThreshold sampleSteps sendHeartbeatTimeoutMillis
        shutdownWaitTimeSeconds spinLockCollisionRetreatOptimalDegree splitRegistrationSize
        statRocksDBCQIntervalSec statefulAuthenticationCacheExpiredSecond statefulAuthenticationCacheMaxNum
        statefulAuthorizationCacheExpiredSecond statefulAuthorizationCacheMaxNum subscriptionExpiredTimeout
        syncBrokerMemberGroupPeriod syncBrokerMetadataPeriod syncControllerMetadataPeriod
        tieredStoreCommitLogMaxSize tieredStoreConsumeQueueMaxSize tieredStoreDeleteFileInterval
        tieredStoreFileReservedTime tieredStoreGroupCommitCount tieredStoreGroupCommitSize
        tieredStoreGroupCommitTimeout tieredStoreIndexFileMaxHashSlotNum tieredStoreIndexFileMaxIndexNum
        tieredStoreMaxGroupCommitCount tieredStoreMaxPendingLimit timerColdDataCheckIntervalMs
        timerCongestNumEachSlot timerFlushIntervalMs timerGetMessageThreadNum timerMaxDelaySec
        timerMetricSmallThreshold timerPrecisionMs timerProgressLogIntervalMs timerPutMessageThreadNum
        timerRollWindowSlot topicQueueLockNum totalReplicas transactionMetricFlushInterval
        transactionOpBatchInterval transactionOpMsgMaxSize travelCqFileNumWhenGetMessage
        updateNameServerAddrPeriod userCacheExpiredSecond userCacheMaxNum userCacheRefreshSecond
        waitTimeMillsInAckQueue waitTimeMillsInAdminBrokerQueue waitTimeMillsInLitePullQueue
        """,
    ),
)

KEYS: Final[Mapping[str, Key]] = {
    name: Key(name, kind, releases) for kind, releases, names in _TABLE for name in names.split()
}
